//! Pictures in, answers out.

use ferrotype_testkit::http::{Part, post, post_file, post_files};
use ferrotype_testkit::images::{FORMATS, encode, jpeg, jpeg_with_orientation, nasty, plain, png};
use serde_json::Value;

use crate::sample::add_model;
use crate::server::Server;

const RED: [u8; 3] = [220, 30, 30];
const GREEN: [u8; 3] = [30, 190, 40];
const BLUE: [u8; 3] = [20, 40, 210];

#[test]
fn a_picture_in_a_form_is_answered_with_class_timing_and_id() {
    let (server, sample) = Server::with_sample();
    let answer = post_file(&server.url("/predict"), "a.jpg", &jpeg(64, 48, RED));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["class"], "red");
    let probabilities = json["probabilities"].as_array().unwrap();
    assert_eq!(probabilities.len(), 3);
    assert_eq!(probabilities[0]["class"], "red");
    assert_eq!(json["confidence"], probabilities[0]["probability"]);
    let sorted: Vec<f64> = probabilities
        .iter()
        .map(|entry| entry["probability"].as_f64().unwrap())
        .collect();
    assert!(sorted.windows(2).all(|pair| pair[0] >= pair[1]));
    assert!((sorted.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    assert_eq!(json["model"]["name"], "colours");
    assert_eq!(json["model"]["version"], sample.model.version);
    assert_eq!(json["image"]["width"], 64);
    assert_eq!(json["image"]["height"], 48);
    assert_eq!(json["image"]["format"], "jpeg");
    let timing = &json["timing_ms"];
    let stage = |name: &str| timing[name].as_f64().unwrap();
    assert!(stage("total") >= stage("decode") + stage("preprocess") + stage("network"));
    let id: uuid::Uuid = json["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
}

#[test]
fn every_format_is_answered_in_a_form_and_as_the_body_itself() {
    let (server, _) = Server::with_sample();
    for (extension, format) in FORMATS {
        let bytes = encode(&plain(40, 30, GREEN), format);
        let form = post_file(&server.url("/predict"), &format!("a.{extension}"), &bytes);
        assert_eq!(form.json()["class"], "green", "{extension}");
        for content_type in ["application/octet-stream", "image/jpeg"] {
            let raw = post(&server.url("/predict"), content_type, &bytes);
            assert_eq!(raw.json()["class"], "green", "{extension} {content_type}");
        }
    }
}

#[test]
fn the_exif_orientation_is_applied() {
    let (server, _) = Server::with_sample();
    let turned = jpeg_with_orientation(60, 20, 6);
    let image = post_file(&server.url("/predict"), "a.jpg", &turned).json()["image"].clone();
    assert_eq!(
        (image["width"].as_u64(), image["height"].as_u64()),
        (Some(20), Some(60))
    );
}

#[test]
fn top_limits_the_list_and_model_names_the_version() {
    let (server, sample) = Server::with_sample();
    let second = server.wait(add_model(&sample.store, "colours", None, &sample.dataset));
    assert_eq!(second.version, 2);
    let ask = |query: &str| {
        let url = server.url(&format!("/predict?{query}"));
        post_file(&url, "a.png", &png(32, 32, BLUE)).json()
    };
    assert_eq!(ask("top=1")["probabilities"].as_array().unwrap().len(), 1);
    assert_eq!(ask("top=99")["probabilities"].as_array().unwrap().len(), 3);
    assert_eq!(ask("model=colours@v2")["model"]["version"], 2);
    assert_eq!(ask("model=colours")["model"]["version"], 2);
    assert_eq!(ask("model=colours@production")["model"]["version"], 1);
    assert_eq!(ask("model=")["model"]["version"], 1);
}

#[test]
fn a_bad_file_does_not_sink_the_others_of_its_batch() {
    let (server, _) = Server::with_sample();
    let (red, blue) = (png(32, 32, RED), jpeg(50, 20, BLUE));
    let bad = nasty();
    let mut parts = vec![part("red.png", &red)];
    parts.extend(bad.iter().map(|(name, bytes)| part(name, bytes)));
    parts.push(part("blue.jpg", &blue));
    let answer = post_files(&server.url("/predict-batch?top=1"), &parts);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), parts.len());
    assert_eq!(json["done"], 2);
    assert_eq!(json["failed"], bad.len());
    assert_eq!(results[0]["file"], "red.png");
    assert_eq!(results[0]["prediction"]["class"], "red");
    let last = &results[results.len() - 1];
    assert_eq!(last["prediction"]["class"], "blue");
    assert_eq!(last["error"], Value::Null);
    for (result, (name, _)) in results[1..].iter().zip(&bad) {
        assert_eq!(result["file"], *name);
        assert!(result["error"]["error"].is_string(), "{result}");
        assert!(result["error"]["kind"].is_string(), "{result}");
    }
}

fn part<'a>(name: &'a str, bytes: &'a [u8]) -> Part<'a> {
    Part {
        field: "files",
        name,
        content_type: "application/octet-stream",
        bytes,
    }
}

#[test]
fn every_prediction_is_logged_and_can_be_forgotten() {
    let (server, sample) = Server::with_sample();
    let bytes = png(32, 32, RED);
    let id = post_file(&server.url("/predict"), "a.png", &bytes).json()["id"]
        .as_str()
        .unwrap()
        .to_string();
    let path = format!("/api/v1/predictions/{id}");
    let logged = until(|| Some(server.get(&path)).filter(|answer| answer.status == 200)).json();
    assert_eq!(logged["class"], "red");
    assert_eq!(logged["model"]["version"], sample.model.version);
    assert_eq!(logged["input_bytes"], bytes.len());
    assert_eq!(
        logged["input_digest"],
        ferrotype_store::Digest::of(&bytes).to_string()
    );
    assert_eq!(logged["probabilities"].as_array().unwrap().len(), 3);
    let list = server
        .get("/api/v1/predictions?model=colours&class=red")
        .json();
    assert_eq!(list["total"], 1);
    assert_eq!(list["predictions"][0]["id"], id.as_str());
    let none = server.get("/api/v1/predictions?class=mauve").json();
    assert_eq!(none["total"], 0);
    let forgotten = ureq::delete(server.url(&path)).call().unwrap();
    assert_eq!(forgotten.status().as_u16(), 204);
    assert_eq!(server.get(&path).status, 404);
}

/// Waits for what a background task will do.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn the_default_model_follows_its_alias() {
    let (server, sample) = Server::with_sample();
    let version = || {
        let answer = post_file(&server.url("/predict"), "a.png", &png(32, 32, RED));
        answer.json()["model"]["version"].as_u64()
    };
    assert_eq!(version(), Some(1));
    server.wait(async {
        let second = add_model(&sample.store, "colours", None, &sample.dataset).await;
        sample
            .store
            .set_alias("colours", "production", second.version)
            .await
            .unwrap();
    });
    until(|| (version() == Some(2)).then_some(()));
}

#[test]
fn a_new_version_that_is_broken_leaves_the_one_before_answering() {
    let (server, sample) = Server::with_sample();
    server.wait(async {
        let manifest = crate::sample::manifest(32);
        let broken = crate::sample::add_onnx(&sample.store, "colours", b"broken", manifest).await;
        sample
            .store
            .set_alias("colours", "production", broken.version)
            .await
            .unwrap();
    });
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let answer = post_file(&server.url("/predict"), "a.png", &png(32, 32, RED));
    assert_eq!(answer.json()["model"]["version"], 1);
    let named = post_file(
        &server.url("/predict?model=colours@v2"),
        "a.png",
        &png(32, 32, RED),
    );
    assert_eq!(named.status, 503);
    assert_eq!(named.json()["kind"], "model_unusable");
}
