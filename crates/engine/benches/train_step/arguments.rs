//! The bench's command line.

use ferrotype_core::config::schema::DeviceConfig;

/// What is printed for a wrong command line.
pub(crate) const USAGE: &str =
    "train_step [--net NAME] [--side PIXELS] [--batch IMAGES] [--executor DEVICE] [--clip NORM]
           [--warm-up STEPS] [--steps STEPS] [--serve | --layers | --peak]";

/// Side in pixels and images of a batch that each net is measured with, as in `bench/train/peer.py`.
const SHAPES: [(&str, usize, usize); 5] = [
    ("small_cnn", 64, 64),
    ("baseline", 224, 32),
    ("resnet18", 64, 32),
    ("vgg16", 64, 16),
    ("mobilenet_v2", 96, 32),
];

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) net: String,
    pub(crate) side: usize,
    pub(crate) batch: usize,
    /// What computes.
    pub(crate) device: DeviceConfig,
    pub(crate) clip: Option<f64>,
    /// Steps before the first that counts.
    pub(crate) warm_up: usize,
    pub(crate) steps: usize,
    /// Take commands from the standard input.
    pub(crate) serve: bool,
    /// A table of what each layer takes.
    pub(crate) layers: bool,
    /// Only measure the machine.
    pub(crate) peak: bool,
}

impl Arguments {
    /// Reads the words after the program's name; `cargo bench` adds `--bench`, which says nothing.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            net: "baseline".to_string(),
            side: 0,
            batch: 0,
            device: DeviceConfig::Cpu,
            clip: None,
            warm_up: 3,
            steps: 9,
            serve: false,
            layers: false,
            peak: false,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--serve" => arguments.serve = true,
                "--layers" => arguments.layers = true,
                "--peak" => arguments.peak = true,
                "--net" => arguments.net = value(&word, words.next())?,
                "--side" => arguments.side = number(&word, words.next())?,
                "--batch" => arguments.batch = number(&word, words.next())?,
                "--executor" => arguments.device = device(&value(&word, words.next())?)?,
                "--clip" => arguments.clip = Some(number(&word, words.next())?),
                "--warm-up" => arguments.warm_up = number(&word, words.next())?,
                "--steps" => arguments.steps = number(&word, words.next())?,
                _ => return Err(format!("unknown option `{word}`")),
            }
        }
        arguments.checked()
    }

    fn checked(mut self) -> Result<Self, String> {
        let measured = SHAPES.iter().find(|(name, ..)| *name == self.net);
        let (_, side, batch) = *measured.unwrap_or(&("", 64, 32));
        if self.side == 0 {
            self.side = side;
        }
        if self.batch == 0 {
            self.batch = batch;
        }
        if self.steps == 0 {
            return Err("`--steps` must be at least 1".to_string());
        }
        Ok(self)
    }
}

fn value(option: &str, word: Option<String>) -> Result<String, String> {
    word.ok_or_else(|| format!("`{option}` needs a value"))
}

fn device(name: &str) -> Result<DeviceConfig, String> {
    name.parse()
        .map_err(|error| format!("{error}, but {}", DeviceConfig::NAMES.join(", ")))
}

fn number<N: std::str::FromStr>(option: &str, word: Option<String>) -> Result<N, String> {
    let word = value(option, word)?;
    word.parse()
        .map_err(|_| format!("`{option}` expects a number, got `{word}`"))
}
