use super::*;

fn whole(bytes: &[u8]) -> Pickle {
    read(bytes).unwrap()
}

#[test]
fn numbers_of_every_width_are_read() {
    let cases: [(&[u8], i64); 8] = [
        (b"K\xff.", 255),
        (b"M\x00\x01.", 256),
        (b"J\xfe\xff\xff\xff.", -2),
        (b"\x8a\x00.", 0),
        (b"\x8a\x01\xff.", -1),
        (b"\x8a\x02\x00\x80.", -32768),
        (b"\x8a\x05\x00\x00\x00\x00\x01.", 1 << 32),
        (b"L-12L\n.", -12),
    ];
    for (bytes, expected) in cases {
        assert_eq!(whole(bytes).root(), &Value::Whole(expected), "{bytes:?}");
    }
    assert_eq!(whole(b"I01\n.").root(), &Value::Bool(true));
}

#[test]
fn a_list_may_hold_itself() {
    // ]q\x00h\x00a: an empty list, kept, recalled, appended to itself.
    let pickle = whole(b"\x80\x02]q\x00h\x00a.");
    assert!(matches!(pickle.root(), Value::Sequence(items) if items.len() == 1));
}

#[test]
fn the_bytes_after_a_pickle_are_left_to_the_next() {
    assert_eq!(whole(b"N.K\x01.").length, 2);
}

#[test]
fn a_mark_guards_what_is_below_it() {
    for bytes in [&b"N(0."[..], b"N(a.", b"N(\x85.", b"(.", b"t.", b"."] {
        assert!(read(bytes).is_err() || bytes == b"N(0.", "{bytes:?}");
    }
}

#[test]
fn containers_without_end_and_recalls_of_nothing_are_refused() {
    let deep = [b"(".repeat(5000), b".".to_vec()].concat();
    assert!(read(&deep).unwrap_err().to_string().contains("levels"));
    let many = [b"N".repeat(1_000_001), b".".to_vec()].concat();
    assert!(read(&many).unwrap_err().to_string().contains("values"));
    assert!(read(b"h\x07.").is_err());
    assert!(read(b"X\xff\xff\xff\x7f.").is_err());
}

#[test]
fn names_that_no_weights_need_are_refused() {
    let cases = [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("subprocess", "Popen"),
        ("numpy", "load"),
    ];
    for (module, name) in cases {
        let bytes = format!("c{module}\n{name}\n.");
        let error = read(bytes.as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains(&format!("`{module}.{name}`")),
            "{error}"
        );
        assert!(error.to_string().contains("nothing was executed"));
    }
    let error = read(b"ctorchvision.models.resnet\nResNet\n.").unwrap_err();
    assert!(error.to_string().contains("whole Python object"));
}

#[test]
fn a_call_of_a_text_is_an_error() {
    assert!(read(b"X\x01\x00\x00\x00a)R.").is_err());
}

#[test]
fn instructions_that_weights_do_not_need_are_refused() {
    // INST, OBJ, EXT1, PERSID, NEXT_BUFFER.
    for bytes in [
        &b"(ios\nsystem\n."[..],
        b"(o.",
        b"\x82\x01.",
        b"Px\n.",
        b"\x97.",
    ] {
        let error = read(bytes).unwrap_err();
        assert!(error.to_string().contains("instruction"), "{error}");
    }
}
