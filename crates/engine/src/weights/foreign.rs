//! Says what a file is that is no file of weights.

use super::error::{damaged, unsupported};
use crate::error::EngineError;

/// The error for a file that begins like this.
pub(super) fn describe(beginning: &[u8]) -> EngineError {
    /// Where the name of the tar format stands.
    const TAR_NAME: std::ops::Range<usize> = 257..262;
    if beginning.is_empty() {
        return damaged("the file is empty");
    }
    if beginning.starts_with(b"version https://git-lfs") {
        return damaged("it is a pointer of Git LFS, the file itself was not downloaded")
            .with_hint("run `git lfs pull` where it came from, or download the file itself");
    }
    if is_page(beginning) {
        return damaged("it is a web page")
            .with_hint("use the address of the file itself; on the hub, the one with `resolve`");
    }
    if beginning.starts_with(b"\x89HDF") {
        return unsupported("it is an HDF5 file (Keras)");
    }
    if beginning.get(TAR_NAME) == Some(b"ustar") {
        return unsupported("it is a tar archive, as PyTorch before 0.2 wrote it");
    }
    if beginning.starts_with(b"\x80") {
        return unsupported("it is a pickle, but not one of `torch.save`");
    }
    unsupported("it is neither safetensors nor a file of `torch.save`")
}

fn is_page(beginning: &[u8]) -> bool {
    let text = String::from_utf8_lossy(beginning).to_ascii_lowercase();
    let text = text.trim_start();
    text.starts_with("<!doctype html") || text.starts_with("<html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_download_by_mistake_is_called_by_its_name() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "empty"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            (b"\n<!DOCTYPE html><html>", "web page"),
            (b"\x89HDF\r\n", "HDF5"),
            (b"\x80\x04\x95", "not one of `torch.save`"),
        ];
        for (beginning, expected) in cases {
            let error = describe(beginning);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.hint().is_some());
        }
    }
}
