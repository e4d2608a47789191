//! Numbers as bits, for what is written often and must cost little: each is read and written with some shifts.
//!
//! Bits fill bytes from the lowest up; what is left of the last byte is 0.

use super::range::Cut;

/// A quotient of so many ones is none: the number follows by itself.
const ONES_MAX: u32 = 16;
/// Bits of how many bits a number has.
const LENGTH_BITS: u32 = 7;

/// The low bits that [`Writer::rice`] stores as they are, which makes numbers that add up to `sum` about the shortest; 0 to 15.
pub(super) fn rice_bits(sum: u64, count: u64) -> u32 {
    let mean = (sum / 3).saturating_mul(2).checked_div(count).unwrap_or(0);
    mean.saturating_add(1).ilog2().min(15)
}

const fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// Writes.
pub(super) struct Writer {
    out: Vec<u8>,
    rest: u64,
    /// Below 32 between calls.
    rest_bits: u32,
}

impl Writer {
    /// Goes on after whole bytes.
    pub(super) const fn after(out: Vec<u8>) -> Self {
        Self { out, rest: 0, rest_bits: 0 }
    }

    /// Writes a value of so many bits, 32 at most.
    #[inline]
    pub(super) fn bits(&mut self, value: u64, bits: u32) {
        self.rest |= value << self.rest_bits;
        self.rest_bits += bits;
        if self.rest_bits >= 32 {
            self.out.extend_from_slice(&(self.rest as u32).to_le_bytes());
            self.rest >>= 32;
            self.rest_bits -= 32;
        }
    }

    /// Writes a value of so many bits, 64 at most.
    pub(super) fn wide(&mut self, value: u64, bits: u32) {
        self.bits(value & low(bits.min(32)), bits.min(32));
        if bits > 32 {
            self.bits(value >> 32, bits - 32);
        }
    }

    /// Writes a number of any size: its length, and what is below its highest bit.
    pub(super) fn number(&mut self, value: u64) {
        let length = u64::BITS - value.leading_zeros();
        self.bits(u64::from(length), LENGTH_BITS);
        let below = length.saturating_sub(1);
        self.wide(value & low(below), below);
    }

    /// Writes a number that is mostly small: so many ones and a 0 for what is above the `low_bits` low bits (15 at most), then these.
    #[inline]
    pub(super) fn rice(&mut self, value: u64, low_bits: u32) {
        let ones = value >> low_bits;
        if ones < u64::from(ONES_MAX) {
            self.bits(low(ones as u32), ones as u32 + 1);
            self.bits(value & low(low_bits), low_bits);
        } else {
            self.bits(low(ONES_MAX), ONES_MAX);
            self.number(value);
        }
    }

    /// All bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let bytes = self.rest_bits.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.rest.to_le_bytes()[..bytes]);
        self.out
    }
}

/// Reads.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Zeros above the bits that were read.
    rest: u64,
    rest_bits: u32,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: 0, rest_bits: 0 }
    }

    /// Has 32 bits at hand, or all there are.
    #[inline]
    fn fill(&mut self) {
        if self.rest_bits >= 32 {
            return;
        }
        if let Some((next, bytes)) = self.bytes.split_first_chunk() {
            self.rest |= u64::from(u32::from_le_bytes(*next)) << self.rest_bits;
            self.rest_bits += 32;
            self.bytes = bytes;
            return;
        }
        while let (true, Some((byte, bytes))) = (self.rest_bits < 32, self.bytes.split_first()) {
            self.rest |= u64::from(*byte) << self.rest_bits;
            self.rest_bits += 8;
            self.bytes = bytes;
        }
    }

    /// Reads a value of so many bits, 32 at most.
    #[inline]
    pub(super) fn bits(&mut self, bits: u32) -> Result<u64, Cut> {
        self.fill();
        self.rest_bits = self.rest_bits.checked_sub(bits).ok_or(Cut)?;
        let value = self.rest & low(bits);
        self.rest >>= bits;
        Ok(value)
    }

    /// Reads a value of so many bits, 64 at most.
    pub(super) fn wide(&mut self, bits: u32) -> Result<u64, Cut> {
        let value = self.bits(bits.min(32))?;
        Ok(if bits > 32 { value | self.bits(bits - 32)? << 32 } else { value })
    }

    /// Reads what [`Writer::number`] wrote.
    pub(super) fn number(&mut self) -> Result<u64, Cut> {
        let Some(below) = (self.bits(LENGTH_BITS)? as u32).checked_sub(1) else { return Ok(0) };
        if below >= u64::BITS {
            return Err(Cut);
        }
        Ok(1 << below | self.wide(below)?)
    }

    /// Reads what [`Writer::rice`] wrote.
    #[inline]
    pub(super) fn rice(&mut self, low_bits: u32) -> Result<u64, Cut> {
        self.fill();
        let ones = self.rest.trailing_ones().min(ONES_MAX);
        if ones == ONES_MAX {
            self.bits(ONES_MAX)?;
            return self.number();
        }
        self.bits(ones + 1)?;
        Ok(u64::from(ones) << low_bits | self.bits(low_bits)?)
    }

    /// That nothing is left but the zeros of the last byte.
    pub(super) fn end(self) -> Result<(), Cut> {
        if self.bytes.is_empty() && self.rest_bits < 8 && self.rest == 0 { Ok(()) } else { Err(Cut) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back_whatever_their_size(numbers: Vec<(u64, u32, u32)>) {
            let mut out = Writer::after(vec![9]);
            let of = |(value, shift, bits): &(u64, u32, u32)| (value >> (shift % 64), bits % 16, bits % 65);
            for number in &numbers {
                let (value, low_bits, bits) = of(number);
                out.rice(value, low_bits);
                out.number(value);
                out.wide(if bits == 64 { value } else { value & low(bits) }, bits);
            }
            let bytes = out.finish();
            let mut bits_in = Reader::new(&bytes[1..]);
            for number in &numbers {
                let (value, low_bits, bits) = of(number);
                prop_assert_eq!(bits_in.rice(low_bits), Ok(value));
                prop_assert_eq!(bits_in.number(), Ok(value));
                prop_assert_eq!(bits_in.wide(bits), Ok(if bits == 64 { value } else { value & low(bits) }));
            }
            prop_assert_eq!(bits_in.end(), Ok(()));
        }

        #[test]
        fn what_is_cut_or_longer_is_no_end(numbers in prop::collection::vec(any::<u32>(), 1..20), more: u8) {
            let mut out = Writer::after(Vec::new());
            numbers.iter().for_each(|number| out.rice(u64::from(*number), 5));
            let mut bytes = out.finish();
            let read = |bytes: &[u8]| {
                let mut bits = Reader::new(bytes);
                numbers.iter().try_for_each(|_| bits.rice(5).map(drop)).and_then(|()| bits.end())
            };
            prop_assert_eq!(read(&bytes), Ok(()));
            prop_assert_eq!(read(&bytes[..bytes.len() - 1]), Err(Cut));
            bytes.push(more);
            prop_assert_eq!(read(&bytes), Err(Cut));
        }
    }

    #[test]
    fn small_numbers_are_short() {
        assert_eq!(
            [(0, 9), (10, 9), (13, 9), (1_000, 100), (u64::MAX, 1)].map(|(sum, count)| rice_bits(sum, count)),
            [0, 0, 0, 2, 15]
        );
        let mut out = Writer::after(Vec::new());
        (0..8).for_each(|_| out.rice(0, 0));
        assert_eq!(out.finish(), [0]);
    }
}
