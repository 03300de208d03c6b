//! Pictures that end the process which decodes them, for tests of what happens then: anywhere in the bytes stands
//! `failpoint:` and a word. Only with the feature of this name, which no released binary has.

use std::hint::black_box;

use memchr::memmem;

const MARKER: &[u8] = b"failpoint:";
const PIECE_BYTES: usize = 4 << 20;

/// Does what `source` says, if it says anything.
pub(super) fn obey(source: &[u8]) {
    let Some(word) = memmem::find(source, MARKER).and_then(|at| source.get(at + MARKER.len()..)) else { return };
    match word {
        _ if word.starts_with(b"abort") => std::process::abort(),
        _ if word.starts_with(b"overflow") => _ = black_box(overflow(0)),
        _ if word.starts_with(b"allocate") => allocate(),
        _ => {}
    }
}

/// Uses up the stack.
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { overflow(depth + 1) + black_box(frame).len() as u64 }
}

/// Takes memory, and touches it, until something ends the process.
fn allocate() {
    let mut pieces = Vec::new();
    loop {
        pieces.push(black_box(vec![1u8; PIECE_BYTES]));
    }
}
