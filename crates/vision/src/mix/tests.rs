use super::*;

const KEY: BatchKey = BatchKey {
    seed: 7,
    epoch: 2,
    batch: 5,
};

/// Image `i` of the batch is `i` everywhere, its class is `i`.
fn batch(count: usize, [height, width]: [usize; 2]) -> (Vec<f32>, Vec<f32>) {
    let images = (0..count)
        .flat_map(|image| vec![image as f32; 3 * height * width])
        .collect();
    let labels: Vec<u32> = (0..count as u32).collect();
    (images, one_hot(&labels, count))
}

fn mean_of(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

#[test]
fn mixup_averages_images_and_targets_alike() {
    let size = [4, 6];
    let (mut images, mut shares) = batch(5, size);
    let mixed = Mix::new(0.4, 0.0, 1.0)
        .unwrap()
        .apply(&mut images, size, &mut shares, 5, KEY);
    let Mixed::Mixup {
        own_share,
        partners,
    } = mixed
    else {
        panic!("{mixed:?}");
    };
    for (image, &partner) in partners.iter().enumerate() {
        let expected = own_share * image as f32 + (1.0 - own_share) * partner as f32;
        let pixels = &images[image * 72..(image + 1) * 72];
        assert!(pixels.iter().all(|pixel| (pixel - expected).abs() < 1e-6));
        let row = &shares[image * 5..(image + 1) * 5];
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        if partner != image {
            assert_eq!((row[image], row[partner]), (own_share, 1.0 - own_share));
        }
    }
}

#[test]
fn cutmix_shares_are_the_exact_areas_after_clipping() {
    let size = [7, 9];
    let mix = Mix::new(0.0, 1.0, 1.0).unwrap();
    for number in 0..50 {
        let (mut images, mut shares) = batch(4, size);
        let key = BatchKey {
            batch: number,
            ..KEY
        };
        let mixed = mix.apply(&mut images, size, &mut shares, 4, key);
        let Mixed::Cutmix { partners, .. } = &mixed else {
            panic!("{mixed:?}");
        };
        for (image, pixels) in images.chunks_exact(3 * 63).enumerate() {
            let row = &shares[image * 4..(image + 1) * 4];
            let by_share = row.iter().zip(0_u8..).map(|(x, i)| x * f32::from(i));
            let by_share: f32 = by_share.sum();
            assert!((mean_of(pixels) - by_share).abs() < 1e-5, "{mixed:?}");
            let known = [image as f32, partners[image] as f32];
            assert!(pixels.iter().all(|pixel| known.contains(pixel)));
        }
    }
}

#[test]
fn a_cut_fills_the_rectangle_in_every_channel() {
    let size = [5, 8];
    let (mut images, mut shares) = batch(2, size);
    let mix = Mix::new(0.0, 1.0, 1.0).unwrap();
    let (mixed, images) = (0..)
        .find_map(|number| {
            let key = BatchKey {
                batch: number,
                ..KEY
            };
            (images, shares) = batch(2, size);
            let mixed = mix.apply(&mut images, size, &mut shares, 2, key);
            let is_pair = matches!(&mixed, Mixed::Cutmix { partners, .. } if *partners == [1, 0]);
            is_pair.then(|| (mixed, images.clone()))
        })
        .unwrap();
    let Mixed::Cutmix { columns, rows, .. } = mixed else {
        panic!("{mixed:?}");
    };
    for (at, &value) in images[..120].iter().enumerate() {
        let (row, column) = (at % 40 / 8, at % 8);
        let is_cut = rows.contains(&row) && columns.contains(&column);
        assert_eq!(value, if is_cut { 1.0 } else { 0.0 });
    }
}

#[test]
fn either_is_as_likely_when_both_are_on() {
    let mix = Mix::new(0.2, 1.0, 0.8).unwrap();
    let mut counts = [0; 3];
    for number in 0..1000 {
        let key = BatchKey {
            batch: number,
            ..KEY
        };
        counts[match mix.draw(4, [8, 8], key) {
            Mixed::Unchanged => 0,
            Mixed::Mixup { .. } => 1,
            Mixed::Cutmix { .. } => 2,
        }] += 1;
    }
    assert!((160..240).contains(&counts[0]), "{counts:?}");
    assert!((350..450).contains(&counts[1]), "{counts:?}");
}

#[test]
fn the_same_key_mixes_alike_and_another_one_differently() {
    let mix = Mix::new(0.2, 1.0, 1.0).unwrap();
    let drawn = |epoch| mix.draw(16, [8, 8], BatchKey { epoch, ..KEY });
    assert_eq!(drawn(3), drawn(3));
    assert_ne!(drawn(3), drawn(4));
}

#[test]
fn a_single_image_and_lengths_that_do_not_fit_stay_as_they_are() {
    let mix = Mix::new(1.0, 0.0, 1.0).unwrap();
    let mut shares = vec![1.0, 0.0];
    let single = mix.apply(&mut [3.0; 12], [2, 2], &mut shares, 1, KEY);
    assert_eq!(single, Mixed::Unchanged);
    let odd = mix.apply(&mut [3.0; 13], [2, 2], &mut shares, 2, KEY);
    assert_eq!(odd, Mixed::Unchanged);
    let none = mix.apply(&mut [], [2, 2], &mut [], 0, KEY);
    assert_eq!(none, Mixed::Unchanged);
}

#[test]
fn rows_are_the_labels_classes() {
    assert_eq!(one_hot(&[1, 0], 2), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(one_hot(&[9], 2), [0.0, 0.0]);
    assert!(one_hot(&[1], 0).is_empty());
    assert_eq!(
        multi_hot(&[&[0, 2], &[], &[1, 9]], 3),
        [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    );
}

#[test]
fn a_setting_out_of_range_is_refused_by_name() {
    let error = Mix::new(-0.1, 0.0, 1.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`mixup` is `-0.1`, expected a number from 0 (off) to 1000"
    );
    assert_eq!(Mix::new(0.0, f64::NAN, 1.0).unwrap_err().field, "cutmix");
    assert_eq!(
        Mix::new(0.0, 0.0, 2.0).unwrap_err().field,
        "mix_probability"
    );
}
