//! That nothing but the too large message is missing, however the stream is chopped.

use super::*;

const MASK: [u8; 4] = [1, 2, 3, 4];

/// A client's frame: `first` is the byte with FIN and opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        middle @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend((middle as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// Everything that passes, what was skipped, and whether the stream was refused.
fn through(sieve: &mut Sieve, stream: &[u8], chunk: usize) -> (Vec<u8>, Vec<Skipped>, bool) {
    let (mut passed, mut skipped) = (Vec::new(), Vec::new());
    for part in stream.chunks(chunk) {
        let mut part = part.to_vec();
        let sifted = sieve.sift(&mut part);
        passed.extend(&sifted.held);
        passed.extend(&part[..sifted.kept]);
        skipped.extend(sieve.take_skipped());
        if sifted.refused {
            return (passed, skipped, true);
        }
    }
    (passed, skipped, false)
}

#[test]
fn everything_within_the_bound_passes_however_it_is_chopped() {
    let mut stream = Vec::new();
    for size in [0, 1, 125, 126, 1000, 65_535, 70_000] {
        stream.extend(frame(0x81, &vec![b'x'; size]));
        stream.extend(frame(0x89, b"ping"));
    }
    for chunk in [1, 2, 3, 7, 13, 14, 1024, stream.len()] {
        let mut sieve = Sieve::new(70_000);
        assert_eq!(through(&mut sieve, &stream, chunk), (stream.clone(), vec![], false), "by {chunk}");
    }
}

#[test]
fn a_large_message_is_left_out_and_its_edges_are_kept() {
    let large: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    let (before, after) = (frame(0x81, b"before"), frame(0x81, b"after"));
    let stream = [before.clone(), frame(0x81, &large), after.clone(), frame(0x82, &large), after.clone()].concat();
    for chunk in [1, 5, 14, 1024, 99_999] {
        let mut sieve = Sieve::new(10_000);
        sieve.allow(10_000, Excess::Skip);
        let (passed, skipped, refused) = through(&mut sieve, &stream, chunk);
        assert_eq!((passed, refused), ([before.clone(), after.clone(), after.clone()].concat(), false), "by {chunk}");
        assert_eq!(skipped.len(), 2);
        assert_eq!(skipped[0].bytes, 100_000);
        assert_eq!(skipped[0].head, large[..SKIPPED_EDGE_BYTES]);
        assert_eq!(skipped[1].tail, large[large.len() - SKIPPED_EDGE_BYTES..]);
    }
}

#[test]
fn an_operators_large_message_ends_the_stream_after_what_came_before_it() {
    let stream = [frame(0x81, b"before"), frame(0x81, &[b'x'; 1001])].concat();
    for chunk in [1, 1024, 4096] {
        let (passed, skipped, refused) = through(&mut Sieve::new(1000), &stream, chunk);
        assert!(refused && skipped.is_empty());
        // A header that came byte by byte is never let out.
        assert_eq!(passed, frame(0x81, b"before"), "by {chunk}");
    }
    assert!(!through(&mut Sieve::new(1000), &frame(0x81, &[b'x'; 1000]), 100).2);
}

#[test]
fn fragments_count_together_and_cannot_be_skipped() {
    let stream = [frame(0x01, &[b'x'; 600]), frame(0x89, b""), frame(0x80, &[b'x'; 401])].concat();
    let mut sieve = Sieve::new(1000);
    sieve.allow(1000, Excess::Skip);
    let (passed, skipped, refused) = through(&mut sieve, &stream, 1024);
    assert!(refused && skipped.is_empty() && passed.len() > 600);
    let twice = [frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 400]), frame(0x81, &[b'x'; 1000])].concat();
    assert!(!through(&mut Sieve::new(1000), &twice, 1024).2);
}

#[test]
fn nonsense_is_left_to_the_library() {
    let mut dice = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let mut stream: Vec<u8> = (0..dice.usize(1..200)).map(|_| dice.u8(..)).collect();
        let mut sieve = Sieve::new(100);
        sieve.allow(100, Excess::Skip);
        let sifted = sieve.sift(&mut stream);
        assert!(sifted.kept <= stream.len());
    }
}
