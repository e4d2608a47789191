//! Whole numbers in as few bytes as they need: LEB128, seven bits a byte, low first; signed ones zigzag. At most ten bytes; a number
//! has one encoding (no padding).

/// Most bytes of one number.
pub(crate) const LEB_BYTES_MAX: usize = 10;

/// Signed to unsigned, small magnitudes to small numbers.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Writes `value`, tells how many bytes it took.
#[inline]
pub(crate) fn write(mut value: u64, out: &mut [u8; LEB_BYTES_MAX]) -> usize {
    let mut length = 0;
    while value >= 0x80 {
        out[length] = value as u8 | 0x80;
        value >>= 7;
        length += 1;
    }
    out[length] = value as u8;
    length + 1
}

/// Appends `value`.
#[inline]
pub(crate) fn put(value: u64, out: &mut Vec<u8>) {
    let mut buffer = [0; LEB_BYTES_MAX];
    let length = write(value, &mut buffer);
    out.extend_from_slice(&buffer[..length]);
}

/// Appends a signed value.
#[inline]
pub(crate) fn put_signed(value: i64, out: &mut Vec<u8>) {
    put(zigzag(value), out);
}

/// Takes a number off the front of `input`.
#[inline]
pub(crate) fn take(input: &mut &[u8]) -> Option<u64> {
    let mut value = Partial::default();
    loop {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        match value.push(*byte) {
            Step::More => {}
            Step::Done(value) => return Some(value),
            Step::Bad => return None,
        }
    }
}

#[derive(Default)]
struct Partial {
    value: u64,
    shift: u32,
}

enum Step {
    More,
    Done(u64),
    Bad,
}

impl Partial {
    #[inline]
    fn push(&mut self, byte: u8) -> Step {
        if self.shift == 63 && byte > 1 {
            return Step::Bad;
        }
        self.value |= u64::from(byte & 0x7f) << self.shift;
        if byte & 0x80 != 0 {
            self.shift += 7;
            Step::More
        } else if byte == 0 && self.shift > 0 {
            Step::Bad
        } else {
            Step::Done(self.value)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_padding_overflow_and_ends() {
        for bad in [
            &[][..],
            &[0x80],
            &[0x80, 0x00],
            &[0xff; 10],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ] {
            assert_eq!(take(&mut &*bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_number_comes_back(value: u64, shift in 0_u32..64, tail: Vec<u8>) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put(value, &mut bytes);
            prop_assert_eq!(bytes.len(), (64 - (value | 1).leading_zeros() as usize).div_ceil(7));
            bytes.extend_from_slice(&tail);
            let mut input = &bytes[..];
            prop_assert_eq!(take(&mut input), Some(value));
            prop_assert_eq!(input, &tail[..]);
            prop_assert_eq!(zigzag(unzigzag(value)), value);
        }
    }
}
