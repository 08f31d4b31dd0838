//! Pixels: from the bytes of an image file to the numbers that a network reads.
//!
//! Nothing here reads a clock, an environment variable or a disk. Bytes are passed in, and every
//! random draw comes from a stream keyed by what it is for ([`random::stream`]), so that the same
//! seed gives the same pixels on any number of threads.

pub mod augment;
pub mod contact_sheet;
pub mod decode;
pub mod encode;
pub mod loader;
pub mod mix;
pub mod pixels;
pub mod random;
mod resize;
pub mod similarity;
pub mod synth;
pub mod transform;
pub mod views;

pub use pixels::RgbImage;
pub use resize::thumbnail;
