//! The pages in a real browser.

use ferrotype_store::RunStatus;
use ferrotype_testkit::browser::Browser;
use ferrotype_testkit::images::jpeg;
use serde_json::json;

use crate::sample;
use crate::server::Server;

/// Checks that the console is quiet and that nothing but the server was asked. `expected` is what
/// the browser itself notes of an answer with an error status.
#[track_caller]
fn check(browser: &Browser, server: &Server, expected: Option<&str>) {
    let loud: Vec<_> = browser
        .console()
        .into_iter()
        .filter(|(level, _)| level == "SEVERE" || level == "WARNING")
        .filter(|(_, message)| expected.is_none_or(|expected| !message.contains(expected)))
        .collect();
    assert!(loud.is_empty(), "{loud:?}");
    let own = format!("http://{}/", server.address);
    let requests = browser.requests();
    assert!(requests.iter().any(|url| url.starts_with(&own)));
    // What the browser shows of itself (`chrome://`) and what is in memory leaves no host.
    let stays = [own.as_str(), "blob:", "data:", "chrome"];
    for url in requests {
        let is_own = stays.iter().any(|start| url.starts_with(start));
        assert!(is_own, "a page asked {url}");
    }
}

#[test]
fn the_start_page_takes_a_picture_and_shows_bars_or_the_apis_error() {
    for (width, height) in [(1280, 900), (390, 844)] {
        let Some(browser) = Browser::start(width, height) else {
            return;
        };
        let (server, _sample) = Server::with_sample();
        browser.open(&server.url("/"));
        assert!(browser.fits(), "at {width} pixels");
        browser.choose_file("#file", "red.jpg", &jpeg(80, 60, [220, 30, 30]));
        browser.wait_for("return document.querySelectorAll('.bars li').length");
        assert_eq!(browser.text(".answer .class"), "red");
        assert!(browser.text(".answer .confidence").contains('%'));
        assert!(browser.text(".trace").contains("80×60 jpeg"));
        assert!(browser.text(".timing").contains("Round trip"));
        browser.wait_for("return document.querySelector('.bars .rail span').offsetWidth");
        assert!(browser.fits(), "at {width} pixels with an answer");

        browser.choose_file("#file", "text.jpg", b"hello, world");
        browser.wait_for("return document.querySelector('.notice') !== null");
        assert!(browser.text(".notice").contains("not_an_image"));

        browser.script("document.querySelector('[data-example]').click()");
        browser.wait_for("return document.querySelectorAll('.bars li').length");
        check(&browser, &server, Some("status of 400"));
    }
}

#[test]
fn a_picture_can_be_dropped_and_pasted() {
    let Some(browser) = Browser::start(1280, 900) else {
        return;
    };
    let (server, sample) = Server::with_sample();
    browser.open(&server.url("/"));
    let detail = format!("/api/v1/datasets/{}", sample.dataset.reference());
    let detail = server.get(&detail).json();
    let picture = detail["samples"][0]["picture"].as_str().unwrap();
    for (event, field) in [("drop", "dataTransfer"), ("paste", "clipboardData")] {
        browser.script(&format!(
            "document.getElementById('answer').replaceChildren();
             fetch('{picture}').then((answer) => answer.blob()).then((blob) => {{
               const transfer = new DataTransfer();
               transfer.items.add(new File([blob], 'given.png', {{type: 'image/png'}}));
               const event = new Event('{event}', {{bubbles: true, cancelable: true}});
               Object.defineProperty(event, '{field}', {{value: transfer}});
               document.body.dispatchEvent(event);
             }})"
        ));
        browser.wait_for("return document.querySelectorAll('.bars li').length");
    }
    check(&browser, &server, None);
}

#[test]
fn the_run_page_draws_curves_and_follows_a_run_that_is_going() {
    let Some(browser) = Browser::start(1280, 900) else {
        return;
    };
    let (server, sample) = Server::with_sample();
    let store = sample.store.clone();
    let start = sample::start_run(&store, &sample.dataset, "going", 1.0);
    let (run, lock) = server.wait(start);
    browser.open(&server.url(&format!("/ui/runs/{run}")));
    browser.wait_for("return document.querySelectorAll('.uplot canvas').length == 2");
    let legend = "document.querySelector('.legend output').textContent";
    let before = browser.wait_for(&format!("return {legend}"));
    assert_ne!(before, json!("7.250"));
    let drawn = "const canvas = document.querySelector('.uplot canvas');
        const context = canvas.getContext('2d');
        const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
        return pixels.some((value) => value !== 0)";
    browser.wait_for(drawn);

    let writer = store.writer().unwrap();
    writer.log_metric(run, "train/loss", 501, 7.25).unwrap();
    writer.flush().unwrap();
    browser.wait_for(&format!("return {legend} === '7.250'"));

    drop(lock);
    server
        .wait(store.set_run_status(run, RunStatus::Finished, None))
        .unwrap();
    browser.wait_for(
        "return document.querySelector('.pill').textContent === 'finished'
            && !document.querySelector('[hx-get]')",
    );
    check(&browser, &server, None);
}

#[test]
fn every_page_fits_a_phone_and_has_no_errors() {
    let Some(browser) = Browser::start(390, 844) else {
        return;
    };
    let (server, sample) = Server::with_sample();
    let run = format!("/ui/runs/{}", sample.finished_run);
    for path in [
        "/",
        "/docs",
        "/ui/runs",
        &run,
        "/ui/models",
        "/ui/models/colours",
        "/ui/datasets",
        "/ui/datasets/colours",
        "/ui/predictions",
    ] {
        browser.open(&server.url(path));
        assert!(browser.fits(), "{path}");
        let broken = "return [...document.images].filter((image) =>
            image.src && image.complete && !image.naturalWidth && !image.hidden).length";
        assert_eq!(browser.script(broken), json!(0), "{path}");
    }
    check(&browser, &server, None);
}
