//! Files whose coefficients are known: every sample is the exact value, rounded, at every scale and whatever the file is
//! made of.

mod common;

use std::collections::HashSet;

use common::{Codes, Order, Plan, is_exact, parse};
use jpeg_shrink::{Decoder, Error, Jpeg, Scale, Unsupported};

const SAMPLINGS: [&[(u8, u8)]; 17] = [
    &[(1, 1)],
    &[(2, 2)],
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(4, 2), (1, 1), (1, 1)],
    &[(1, 4), (1, 1), (1, 1)],
    &[(2, 4), (1, 1), (1, 1)],
    &[(4, 2), (1, 1), (1, 1)],
    &[(2, 2), (2, 1), (1, 2)],
    &[(1, 1), (2, 2), (2, 2)],
    &[(3, 1), (1, 1), (1, 1)],
    &[(3, 2), (2, 1), (1, 1)],
    &[(1, 3), (1, 2), (1, 1)],
    &[(4, 4), (4, 4), (2, 1)],
];
const INTERVALS: [u16; 4] = [0, 1, 2, 7];
const ORDERS: [Order; 4] = [Order::Interleaved, Order::Separate, Order::Progressive, Order::ProgressiveSeparate];
const CODES: [Codes; 3] = [Codes::Standard, Codes::Unstated, Codes::Long];
const DENSITIES: [u32; 4] = [0, 3, 25, 100];
const SIDES: [u16; 14] = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 65, 67];

fn plan(choice: [usize; 7], seed: u64) -> Plan {
    let [samplings, interval, order, codes, density, width, height] = choice;
    Plan {
        width: SIDES[width],
        height: SIDES[height],
        samplings: SAMPLINGS[samplings].to_vec(),
        interval: INTERVALS[interval],
        order: ORDERS[order],
        codes: CODES[codes],
        density: DENSITIES[density],
        seed,
    }
}

/// Decodes at every scale with a decoder that has seen other files.
fn check(decoder: &mut Decoder, plan: &Plan) {
    let file = plan.file();
    let is_interleaved = matches!(plan.order, Order::Interleaved | Order::Progressive);
    if plan.has_wide_units() && is_interleaved {
        let refused = Jpeg::parse(&file.bytes).map(drop);
        assert_eq!(refused, Err(Error::Unsupported(Unsupported::BlocksPerUnit)), "{plan:?}");
        return;
    }
    let jpeg = parse(&file.bytes);
    for scale in Scale::ALL {
        decoder.keep_at_most(0);
        let decoded = decoder.decode(&jpeg, scale);
        if jpeg.is_progressive() && scale != Scale::Eighth {
            assert_eq!(decoded.map(drop), Err(Error::Unsupported(Unsupported::ProgressiveScale)), "{plan:?}");
        } else {
            let picture = decoded.unwrap_or_else(|error| panic!("{plan:?}: {error}"));
            assert_eq!(picture.damage(), None, "{plan:?}");
            is_exact(&picture, &file, scale, plan);
            let kept = u64::try_from(decoder.kept_bytes()).expect("64 bits");
            assert!(kept <= jpeg.memory(scale), "{kept} of {} for {plan:?}", jpeg.memory(scale));
        }
    }
}

#[test]
fn all_pairs_of_choices_give_exact_samples() {
    let counts =
        [SAMPLINGS.len(), INTERVALS.len(), ORDERS.len(), CODES.len(), DENSITIES.len(), SIDES.len(), SIDES.len()];
    let pairs = |choice: [usize; 7]| {
        (0..7).flat_map(move |one| (0..one).map(move |other| (one, choice[one], other, choice[other])))
    };
    let mut missing = HashSet::new();
    for one in 0..7 {
        for other in 0..one {
            missing.extend((0..counts[one]).flat_map(|a| (0..counts[other]).map(move |b| (one, a, other, b))));
        }
    }
    let (mut decoder, mut random, mut files) = (Decoder::new(), fastrand::Rng::with_seed(4), 0);
    while !missing.is_empty() {
        let choice = counts.map(|count| random.usize(..count));
        if pairs(choice).any(|pair| missing.contains(&pair)) {
            for pair in pairs(choice) {
                missing.remove(&pair);
            }
            check(&mut decoder, &plan(choice, files));
            files += 1;
        }
    }
    assert!(files > 200, "{files} files");
}

#[test]
#[ignore = "long mode: 219 thousand files take minutes"]
fn the_product_of_all_choices_gives_exact_samples() {
    let mut decoder = Decoder::new();
    let mut seed = 0;
    for samplings in 0..SAMPLINGS.len() {
        for interval in 0..INTERVALS.len() {
            for order in 0..ORDERS.len() {
                for codes in 0..CODES.len() {
                    for density in 0..DENSITIES.len() {
                        for side in 1..=67 {
                            let mut plan = plan([samplings, interval, order, codes, density, 0, 0], seed);
                            (plan.width, plan.height) = (side, 68 - side);
                            check(&mut decoder, &plan);
                            seed += 1;
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn tables_of_the_file_before_are_forgotten() {
    let mut decoder = Decoder::new();
    let plan = |codes| Plan {
        width: 40,
        height: 40,
        samplings: vec![(1, 1)],
        interval: 0,
        order: Order::Interleaved,
        codes,
        density: 20,
        seed: 5,
    };
    for codes in [Codes::Standard, Codes::Long, Codes::Unstated, Codes::Long, Codes::Standard] {
        check(&mut decoder, &plan(codes));
    }
    // A file that states no quantisation must not get that of another.
    let file = plan(Codes::Standard).file();
    let without = [&file.bytes[..2], &file.bytes[2 + 69..]].concat();
    let error = decoder.decode(&parse(&without), Scale::Full).map(drop);
    assert_eq!(error, Err(Error::Corrupt(jpeg_shrink::Corrupt::Quantisation)));
}
