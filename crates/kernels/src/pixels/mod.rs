//! Loops over pixels of three bytes that vectors need a shuffle for: channels apart and together,
//! rows mirrored, bytes looked up, colours between pixels. Each has a scalar twin, which runs on other
//! processors and gives the same bytes.

mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

/// The bytes from its first pixel on that [`bilinear`] looks at in each of two rows.
pub const BILINEAR_BYTES: usize = 16;

/// Whether [`look_up`] is quicker than loads one by one.
pub fn looks_up_in_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return x86::has_byte_permutations();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Writes the red, green and blue of pixels `[n, 3]` apart, each `[n]`.
pub fn split(pixels: &[u8], channels: [&mut [u8]; 3]) {
    for channel in &channels {
        assert_eq!(channel.len() * 3, pixels.len(), "three bytes a pixel");
    }
    #[cfg(target_arch = "x86_64")]
    if x86::has_byte_shuffles() {
        #[allow(unsafe_code)]
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { x86::split(pixels, channels) };
    }
    scalar::split(pixels, channels);
}

/// Writes pixels `[n, 3]` from red, green and blue, each `[n]`.
pub fn join(channels: [&[u8]; 3], pixels: &mut [u8]) {
    for channel in &channels {
        assert_eq!(channel.len() * 3, pixels.len(), "three bytes a pixel");
    }
    #[cfg(target_arch = "x86_64")]
    if x86::has_byte_shuffles() {
        #[allow(unsafe_code)]
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { x86::join(channels, pixels) };
    }
    scalar::join(channels, pixels);
}

/// Writes a row of pixels `[n, 3]` in the opposite order.
pub fn mirror(row: &[u8], mirrored: &mut [u8]) {
    assert_eq!(row.len(), mirrored.len(), "as many pixels");
    #[cfg(target_arch = "x86_64")]
    if x86::has_byte_shuffles() {
        #[allow(unsafe_code)]
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { x86::mirror(row, mirrored) };
    }
    scalar::mirror(row, mirrored);
}

/// Replaces each byte by its entry in a table.
pub fn look_up(table: &[u8; 256], bytes: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if x86::has_byte_permutations() {
        #[allow(unsafe_code)]
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { x86::look_up(table, bytes) };
    }
    scalar::look_up(table, bytes);
}

/// Places between pixels, for [`bilinear`]; all as long as the row of results.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The first byte of the upper left one of four pixels.
    pub offsets: &'a [u32],
    /// The shares of the left pixel (lower 16 bits) and the right one, together 4096.
    pub across: &'a [u32],
    /// The shares of the upper pixel (lower 16 bits) and the lower one, together 512.
    pub down: &'a [u32],
}

/// Writes the colours at places between pixels, `[n, 3]`. Every place has [`BILINEAR_BYTES`] bytes from its
/// offset on in its row and in the next one.
pub fn bilinear(pixels: &[u8], row_bytes: usize, places: Places<'_>, results: &mut [u8]) {
    let count = results.len() / 3;
    let Places {
        offsets,
        across,
        down,
    } = places;
    assert_eq!(
        [offsets.len(), across.len(), down.len()],
        [count; 3],
        "a place for each result"
    );
    #[cfg(target_arch = "x86_64")]
    if x86::has_gathers() {
        #[allow(unsafe_code)]
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { x86::bilinear(pixels, row_bytes, places, results) };
    }
    scalar::bilinear(pixels, row_bytes, places, results);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(count: usize, seed: u64) -> Vec<u8> {
        let hashed = |n: usize| ((n as u64 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
        (0..count).map(hashed).collect()
    }

    const COUNTS: [usize; 8] = [0, 1, 5, 15, 16, 17, 64, 331];

    #[test]
    fn channels_are_split_and_joined_as_the_scalar_twin_does() {
        for count in COUNTS {
            let pixels = noisy(count * 3, 1);
            let mut found = [(); 3].map(|()| vec![0; count]);
            let mut expected = found.clone();
            split(&pixels, found.each_mut().map(Vec::as_mut_slice));
            scalar::split(&pixels, expected.each_mut().map(Vec::as_mut_slice));
            assert_eq!(found, expected, "{count}");
            let mut joined = vec![0; count * 3];
            join(found.each_ref().map(Vec::as_slice), &mut joined);
            assert_eq!(joined, pixels, "{count}");
            scalar::join(found.each_ref().map(Vec::as_slice), &mut joined);
            assert_eq!(joined, pixels, "{count}");
        }
    }

    #[test]
    fn a_row_is_mirrored_as_the_scalar_twin_does() {
        for count in COUNTS {
            let row = noisy(count * 3, 2);
            let (mut found, mut expected) = (vec![0; count * 3], vec![0; count * 3]);
            mirror(&row, &mut found);
            scalar::mirror(&row, &mut expected);
            assert_eq!(found, expected, "{count}");
        }
    }

    #[test]
    fn bytes_are_looked_up_as_the_scalar_twin_does() {
        let table: [u8; 256] = noisy(256, 3).try_into().unwrap();
        for count in COUNTS {
            let mut found: Vec<u8> = noisy(count, 4);
            let mut expected = found.clone();
            look_up(&table, &mut found);
            scalar::look_up(&table, &mut expected);
            assert_eq!(found, expected, "{count}");
        }
        let mut all: Vec<u8> = (0..=255).collect();
        look_up(&table, &mut all);
        assert_eq!(all, table);
    }

    #[test]
    fn colours_between_pixels_are_the_scalar_twins() {
        let (width, height) = (40, 9);
        let row_bytes = width * 3;
        let pixels = noisy(row_bytes * height, 5);
        for count in COUNTS {
            let hashed =
                |n: usize, seed: u64| (n as u64 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            let offsets: Vec<u32> = (0..count)
                .map(|n| {
                    let at = hashed(n, 6) as usize;
                    (at % (height - 1) * row_bytes + at / 16 % (width - 5) * 3) as u32
                })
                .collect();
            let shares = |seed: u64, one: u64| -> Vec<u32> {
                (0..count)
                    .map(|n| {
                        let second = hashed(n, seed) % (one + 1);
                        (second << 16 | (one - second)) as u32
                    })
                    .collect()
            };
            let (across, down) = (shares(7, 4096), shares(8, 512));
            let places = Places {
                offsets: &offsets,
                across: &across,
                down: &down,
            };
            let (mut found, mut expected) = (vec![0; count * 3], vec![0; count * 3]);
            bilinear(&pixels, row_bytes, places, &mut found);
            scalar::bilinear(&pixels, row_bytes, places, &mut expected);
            assert_eq!(found, expected, "{count}");
        }
    }

    #[test]
    #[should_panic = "range end index"]
    fn a_place_beyond_the_pixels_panics() {
        let places = Places {
            offsets: &[0, 12],
            across: &[4096; 2],
            down: &[512; 2],
        };
        bilinear(&[0; 48], 24, places, &mut [0; 6]);
    }
}
