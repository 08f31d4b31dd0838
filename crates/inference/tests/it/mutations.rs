//! Damaged and malicious models: thousands of changes of small valid ones, each loaded and run.
//!
//! What is demanded is an error or an answer: no panic (one that was caught counts), no more memory than the
//! limits allow. The same changes are made every time; `FERROTYPE_FUZZ_ROUNDS` makes more of them, another
//! `FERROTYPE_FUZZ_SEED` others.

mod changes;
mod seeds;

use ferrotype_inference::{
    NetworkOptions, RuntimeChoice, inspect, load_network, run_natively_within,
};

use self::changes::{Random, change_bytes, change_model};
use self::seeds::seeds;
use crate::networks::bytes;

/// Changes that an ordinary run makes.
const ROUNDS: u64 = 20_000;

/// Numbers at a time, and multiplications for an image.
const LIMITS: [u64; 2] = [1 << 20, 1 << 26];

/// The process's memory at most, in KiB: some times what the limits allow.
#[cfg(target_os = "linux")]
const MOST_MEMORY_KIB: u64 = 1 << 20;

/// What became of a changed model.
enum Outcome {
    Answered,
    Refused,
    /// What must not be.
    Broken(String),
}

/// Loads and runs a file.
fn outcome(file: &[u8], input: &[f32]) -> Outcome {
    let _ = inspect(file);
    let mut runs = true;
    for batch in [1, 3] {
        let shape = [batch, 3, 4, 5];
        let images = &input[..batch * 60];
        let run = run_natively_within(file, ["image", "logits"], &shape, images, LIMITS);
        if let Err(error) = run {
            runs = false;
            let text = error.to_string();
            if text.contains("broke down") {
                return Outcome::Broken(text);
            }
        }
    }
    if !runs {
        return Outcome::Refused;
    }
    match problem_loaded(file, input) {
        None => Outcome::Answered,
        Some(text) => Outcome::Broken(text),
    }
}

/// As [`outcome`], of a file within the limits, through the loader that keeps packed weights and
/// programs.
fn problem_loaded(file: &[u8], input: &[f32]) -> Option<String> {
    let options = NetworkOptions {
        input_name: "image".into(),
        output_name: "logits".into(),
        embedding_name: None,
        image_shape: [3, 4, 5],
        fixed_batch: None,
        threads: std::num::NonZeroUsize::MIN,
    };
    let error = match load_network(file, RuntimeChoice::Native, &options) {
        Ok(loaded) => {
            let first = loaded.network.run(&input[..60], 1);
            let second = loaded.network.run(&input[..180], 3);
            first.and(second).err()?
        }
        Err(error) => error,
    };
    let text = error.to_string();
    text.contains("broke down").then_some(text)
}

fn setting(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| text.parse().expect(name))
}

/// The most memory this process has had, in KiB, where the system tells.
#[cfg(target_os = "linux")]
fn most_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn the_seeds_of_all_changes_run() {
    let input: Vec<f32> = (0..60).map(|at| (at % 7) as f32 / 10.0 - 0.3).collect();
    for seed in seeds() {
        let run = run_natively_within(
            &bytes(&seed),
            ["image", "logits"],
            &[1, 3, 4, 5],
            &input,
            LIMITS,
        );
        let answer = run.unwrap();
        assert!(answer.iter().all(|x| x.is_finite()), "{answer:?}");
    }
}

#[test]
fn a_changed_model_is_an_error_or_an_answer_within_the_limits() {
    let rounds = setting("FERROTYPE_FUZZ_ROUNDS", ROUNDS);
    let seed = setting("FERROTYPE_FUZZ_SEED", 1);
    let input: Vec<f32> = (0..180).map(|at| (at % 13) as f32 / 3.0 - 2.0).collect();
    let seeds = seeds();
    let files: Vec<Vec<u8>> = seeds.iter().map(bytes).collect();
    let mut problems: Vec<String> = Vec::new();
    let mut answered = 0;
    // One line for each panic, which is a failure.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    for round in 0..rounds {
        let mut random = Random(seed.wrapping_mul(1 << 40).wrapping_add(round));
        let mut model = random.of(&seeds).clone();
        let is_structural = random.below(3) > 0;
        if is_structural {
            for _ in 0..=random.below(3) {
                change_model(&mut model, &mut random);
            }
        }
        let mut file = bytes(&model);
        if !is_structural || random.below(10) == 0 {
            for _ in 0..=random.below(4) {
                let other = random.below(files.len());
                change_bytes(&mut file, &files[other], &mut random);
            }
        }
        let work = std::panic::AssertUnwindSafe(|| outcome(&file, &input));
        let found = std::panic::catch_unwind(work);
        match found.unwrap_or_else(|_| Outcome::Broken("a panic".into())) {
            Outcome::Answered => answered += 1,
            Outcome::Refused => {}
            Outcome::Broken(text) => problems.push(format!("round {round} of seed {seed}: {text}")),
        }
    }
    let _ = std::panic::take_hook();
    assert!(
        problems.is_empty(),
        "{} of {rounds}: {:#?}",
        problems.len(),
        &problems[..problems.len().min(30)]
    );
    println!("{answered} of {rounds} changed models answer");
    // Changes that only break files would find little.
    assert!(answered * 20 > rounds, "{answered} of {rounds} answer");
    #[cfg(target_os = "linux")]
    if let Some(most) = most_memory_kib() {
        assert!(most < MOST_MEMORY_KIB, "{most} KiB of memory");
    }
}
