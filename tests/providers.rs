//! What computes: asked for by name, the reason told where it does not work, and nothing
//! worse. The library that is fetched has the processor only, so that everybody else is
//! refused here; that somebody works, is slow or wrong is among the tests of `models`.

use crate::support::{Home, picture, repository};

#[test]
fn who_is_not_there_is_told_in_one_sentence_and_the_processor_computes() {
    let home = Home::new();
    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    let by_cpu = home.ek(&["search", "red", "--json"]).exits(0).json();
    for name in ["cuda", "tensorrt", "coreml", "directml", "openvino"] {
        let run = home.ek(&["search", "red", "--json", "--provider", name]).exits(0);
        let told: Vec<String> = run.stderr().lines().map(str::to_owned).collect();
        let [line] = &told[..] else { panic!("one line of {name}: {told:?}") };
        let line = line.to_lowercase();
        assert!(line.starts_with(name), "{line}");
        for words in ["is not used, the cpu is: onnx runtime 1.", "without it", "--onnxruntime"] {
            assert!(line.contains(words), "{words}: {line}");
        }
        let found = run.json();
        assert_eq!(found["hits"][0]["score"], by_cpu["hits"][0]["score"], "{name}");
    }
    // Nobody else is there, so that nothing is tried and nothing told.
    for name in ["cpu", "auto"] {
        let run = home.ek(&["search", "red", "--provider", name]).exits(0);
        assert_eq!(run.stderr().lines().filter(|l| l.contains("CPU")).count(), 0, "{name}");
    }

    let run = home.ek(&["search", "red", "--provider", "gpu"]).exits(2);
    assert!(run.stderr().contains("tensorrt, coreml"), "{}", run.stderr());
    let output = home.command(&["search", "red"]).env("EK_PROVIDER", "gpu").output();
    let output = output.expect("ek starts");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("EK_PROVIDER: expected auto or one of cpu"), "{told}");
    let output = home.command(&["search", "red"]).env("EK_PROVIDER", "CUDA").output();
    let told = output.expect("ek starts").stderr;
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains("CUDA is not used, the CPU is"), "{told}");
}

#[test]
fn the_doctor_says_who_computes_and_that_somebody_else_was_wanted() {
    let home = Home::new();
    let provider = |args: &[&str], code: i32| {
        let checks = home.ek(args).exits(code).json()["checks"].clone();
        let checks = checks.as_array().expect("checks").clone();
        let found = checks.into_iter().find(|c| c["name"] == "provider").expect("a line");
        (
            found["ok"].as_bool().expect("yes or no"),
            found["detail"].as_str().unwrap_or("").to_owned(),
        )
    };
    let (ok, detail) = provider(&["doctor", "--json"], 0);
    assert!(ok && detail == "CPU computes (cpu wanted)", "{detail}");
    let (ok, detail) = provider(&["doctor", "--json", "--provider", "auto"], 0);
    assert!(ok && detail.starts_with("CPU computes (auto wanted)"), "{detail}");
    let (ok, detail) = provider(&["doctor", "--json", "--provider", "cuda"], 3);
    assert!(!ok && detail.starts_with("CPU computes (cuda wanted); CUDA is not used"), "{detail}");
}

#[test]
fn the_fastest_precision_that_agrees_comes_in() {
    let home = Home::new();
    let siglip = repository().join("models/tests/fixtures/siglip");
    let siglip = siglip.to_str().expect("UTF-8");
    let args = ["model", "import", siglip, "--precision", "auto", "--name", "best"];
    let run = home.ek(&args).exits(0);
    for words in ["fp32 ", "int8 ", "q4 ", "does not agree", ": taken"] {
        assert!(run.stderr().contains(words), "{words}: {}", run.stderr());
    }
    // By a name of its own: the clock may choose another one now.
    let args = ["model", "import", siglip, "--precision", "auto", "--name", "again", "--json"];
    let found = home.ek(&args).exits(0).json();
    let all = found["measured"].as_array().expect("what was measured");
    let of = |name: &str| {
        all.iter().find(|v| v["precision"] == name).unwrap_or_else(|| panic!("{found}"))
    };
    assert_eq!(of("fp32")["golden"]["pictures"], 1.0, "{found}");
    assert_eq!((&of("int8")["agrees"], &of("q4")["agrees"]), (&true.into(), &false.into()));
    assert!(of("q4")["golden"]["texts"].as_f64().expect("a cosine") < 0.99, "{found}");
    for variant in all {
        for time in ["picture_ms", "text_ms"] {
            assert!(variant[time].as_f64().expect("a time") > 0.0, "{variant}");
        }
    }
    let taken = found["precision"].as_str().expect("a precision");
    assert_eq!(of(taken)["agrees"], true, "{found}");

    // Without the 32-bit form there is nothing to compare with.
    let half = home.folder("half");
    for entry in fs_err::read_dir(siglip).expect("readable").flatten() {
        if entry.path().is_file() {
            fs_err::copy(entry.path(), half.join(entry.file_name())).expect("copied");
        }
    }
    let graphs = repository().join("models/tests/fixtures/siglip/onnx");
    let to = home.folder("half/onnx");
    for entry in fs_err::read_dir(graphs).expect("graphs").flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().contains("_quantized") || name.to_string_lossy().contains("_int8")
        {
            fs_err::copy(entry.path(), to.join(name)).expect("copied");
        }
    }
    let run = home.ek(&["model", "import", "half", "--precision", "auto"]).exits(2);
    assert!(run.stderr().contains("the 32-bit form"), "{}", run.stderr());
    let run = home.ek(&["model", "import", "nowhere", "--precision", "auto"]).exits(2);
    assert!(run.stderr().contains("nowhere"), "{}", run.stderr());
}
