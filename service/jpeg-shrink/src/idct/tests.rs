use super::*;

/// The lowest `n` x `n` coefficients as a transform of that size, in the textbook's words.
fn exact(block: &[i32; 64], n: usize) -> Vec<f64> {
    let wave = |at: usize, k: usize| {
        let scale = if k == 0 { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() };
        scale * (std::f64::consts::PI * (2 * at + 1) as f64 * k as f64 / (2 * n) as f64).cos()
    };
    let sample = |x: usize, y: usize| {
        let terms = (0..n).flat_map(|v| (0..n).map(move |u| (u, v)));
        let sum: f64 = terms.map(|(u, v)| f64::from(block[8 * v + u]) * wave(x, u) * wave(y, v)).sum();
        (sum * n as f64 / 8.0 + 128.0).clamp(0.0, 255.0)
    };
    (0..n * n).map(|at| sample(at % n, at / n)).collect()
}

/// The lowest `N` x `N`, by columns.
fn lowest<const N: usize, const L: usize>(block: &[i32; 64]) -> [i32; L] {
    std::array::from_fn(|at| block[at % N * 8 + at / N])
}

fn scaled<const N: usize, const L: usize>(block: &[i32; 64]) -> [f32; L] {
    let factors = factors::<N>(&[1; 64]);
    let mut by_place = [0.0; 64];
    for (place, factor) in ZIGZAG.iter().zip(factors) {
        by_place[usize::from(*place)] = factor * block[usize::from(*place)] as f32;
    }
    std::array::from_fn(|at| by_place[at % N * 8 + at / N])
}

fn off(ours: &[u8], exact: &[f64]) -> f64 {
    assert_eq!(ours.len(), exact.len());
    ours.iter().zip(exact).map(|(ours, exact)| (f64::from(*ours) - exact).abs()).fold(0.0, f64::max)
}

fn all(block: &[i32; 64]) -> [f64; 4] {
    [
        off(&[flat(block[0])], &exact(block, 1)),
        off(two(&lowest::<2, 4>(block)).as_flattened(), &exact(block, 2)),
        off(four(&scaled::<4, 16>(block)).as_flattened(), &exact(block, 4)),
        off(eight(&scaled::<8, 64>(block)).as_flattened(), &exact(block, 8)),
    ]
}

#[test]
fn samples_are_those_of_the_exact_transform_rounded() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut worst = [0.0_f64; 4];
    for round in 0..4000 {
        let mut block = [0; 64];
        block[0] = random.i32(-1100..1100);
        let range = 1 + (round % 9) * (round % 9) * 8;
        for _ in 0..random.usize(..40) {
            block[random.usize(1..64)] = random.i32(-range..range);
        }
        for (worst, off) in worst.iter_mut().zip(all(&block)) {
            *worst = worst.max(off);
        }
    }
    assert!(worst.iter().all(|worst| *worst < 0.501), "{worst:?}");
}

#[test]
fn no_coefficients_overflow() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..4000 {
        let block: [i32; 64] = std::array::from_fn(|_| if random.bool() { COEFFICIENT_MAX } else { -COEFFICIENT_MAX });
        assert!(all(&block).iter().all(|off| *off < 0.6));
    }
    let widest = [f32::from(u16::MAX) * f32::from(i16::MAX); 64];
    assert_eq!(eight(&widest)[0][0], 255);
}

#[test]
fn a_block_keeps_the_coefficients_of_its_corner() {
    assert_eq!(places::<8>(), ZIGZAG.map(|place| place % 8 * 8 + place / 8));
    for n in [places::<2>(), places::<4>()] {
        let kept = n.iter().filter(|place| usize::from(**place) < usize::from(*n.iter().max().expect("64"))).count();
        assert!([4, 16].contains(&kept));
    }
    let is_last = |places: [u8; 64], last: u32, end: u8| {
        places.iter().rposition(|place| *place < end) == Some(usize::try_from(last).expect("small"))
    };
    assert!(is_last(places::<2>(), last::<2>(), 4) && is_last(places::<4>(), last::<4>(), 16));
    assert!(is_last(places::<8>(), last::<8>(), 64));
}
