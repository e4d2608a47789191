//! A binary range coder with chances that it learns on the way, and whole numbers on top of it.
//!
//! Measured durations have low digits that no dictionary finds again, and a distribution that learning does: so this takes less room than a
//! general compressor over packed columns, without a header of its own. One description serves both ways: what codes a value
//! is written once over [`Coder`]; the encoder tells the value it was given, the decoder the one it read.
//!
//! Bits that are as good as random (a number's low digits) stand apart, uncoded.

use std::convert::Infallible;
use std::hint::select_unpredictable;

/// Bits of a number below its leading one that are learnt; what is below them is stored as it is.
const LEARNT_BITS: u32 = 4;
/// After so many bits a chance is as slow to change as it gets: it follows what changes over hours.
const MEMORY: u8 = 100;

/// What the next bit counts for after so many, of 65,536: 1/2, 1/3, 1/4, ... As long as a count can say, so that none is out of it.
const SHARES: [u32; 1 << u8::BITS] = {
    let mut shares = [0; 1 << u8::BITS];
    let mut seen = 0;
    while seen <= MEMORY as usize {
        shares[seen] = (1 << 16) / (seen as u32 + 2);
        seen += 1;
    }
    shares
};

/// The chance of a bit to be 0, of 65,536.
#[derive(Clone, Copy)]
pub(super) struct Chance {
    zero: u16,
    seen: u8,
}

impl Chance {
    const EVEN: Self = Self { zero: 1 << 15, seen: 0 };

    /// As the coder uses it, of 4,096: never certain.
    fn zero_of_4096(self) -> u32 {
        u32::from(self.zero >> 4).clamp(1, 4_095)
    }

    /// Learns a bit: after few of them much from each, as one who counts both does.
    #[inline]
    fn learn(&mut self, bit: bool) {
        let share = SHARES[usize::from(self.seen)];
        // Told from the other end for a 1, so that both ways are one: `u16::MAX - zero` flips every bit.
        let if_one = u16::from(bit).wrapping_neg();
        let left = u32::from(!(self.zero ^ if_one));
        let off = (left * share) >> 16;
        self.zero = !((left - off) as u16) ^ if_one;
        self.seen = (self.seen + 1).min(MEMORY);
    }
}

/// Either way through the same description of values.
pub(super) trait Coder {
    /// What can go wrong.
    type Error;
    /// Codes a bit with its chance.
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> Result<bool, Self::Error>;
    /// Codes the `bits` low bits of a value, at most 64 and no higher one set, as they are.
    fn raw(&mut self, value: u64, bits: u32) -> Result<u64, Self::Error>;
    /// Codes a value of so many bits, the highest first, each with a chance that depends on those before: as [`Self::bit`] would each, in less time. `CHANCES` is a power
    /// of two, two to the power of `bits` at least.
    fn tree<const CHANCES: usize>(
        &mut self,
        chances: &mut [Chance; CHANCES],
        bits: u32,
        value: u64,
    ) -> Result<u64, Self::Error>;
    /// Codes a small count: for each below it a 1 and then a 0, each with a chance of its own, as [`Self::bit`] would each, in less time. No count is above `most`, and
    /// of that no 0 follows.
    fn unary(&mut self, chances: &mut [Chance; 128], most: u32, count: u32) -> Result<u32, Self::Error>;
}

/// Writes.
pub(super) struct Encoder {
    low: u64,
    range: u32,
    held: u8,
    /// Bytes that wait whether a carry comes: the one held and so many 0xff.
    waiting: u64,
    coded: Vec<u8>,
    raw: Vec<u8>,
    /// Raw bits that are no whole byte yet.
    rest: u64,
    rest_bits: u32,
}

impl Encoder {
    pub(super) const fn new() -> Self {
        Self { low: 0, range: u32::MAX, held: 0, waiting: 1, coded: Vec::new(), raw: Vec::new(), rest: 0, rest_bits: 0 }
    }

    /// Lets the highest byte of `low` go out; what is left of it.
    fn shift(&mut self, low: u64) -> u64 {
        let carry = (low >> 32) as u8;
        if carry != 0 || low < 0xff00_0000 {
            let mut byte = self.held;
            while self.waiting > 0 {
                self.coded.push(byte.wrapping_add(carry));
                byte = 0xff;
                self.waiting -= 1;
            }
            self.held = (low >> 24) as u8;
        }
        self.waiting += 1;
        (low & 0x00ff_ffff) << 8
    }

    /// Codes a bit, with `low` and `range` at hand.
    #[inline(always)]
    fn code_bit(&mut self, (low, range): (&mut u64, &mut u32), chance: &mut Chance, bit: bool) {
        let bound = (*range >> 12) * chance.zero_of_4096();
        // Without a branch: about half of the bits are as good as random, and a processor that guesses wrong loses more than this costs.
        *low += u64::from(select_unpredictable(bit, bound, 0));
        *range = select_unpredictable(bit, *range - bound, bound);
        chance.learn(bit);
        while *range < 1 << 24 {
            *range <<= 8;
            *low = self.shift(*low);
        }
    }

    /// The raw and the coded bytes.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        for _ in 0..5 {
            self.low = self.shift(self.low);
        }
        if self.rest_bits > 0 {
            self.raw.push(self.rest as u8);
        }
        (self.raw, self.coded)
    }
}

impl Coder for Encoder {
    type Error = Infallible;

    #[inline]
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> Result<bool, Infallible> {
        let (mut low, mut range) = (self.low, self.range);
        self.code_bit((&mut low, &mut range), chance, bit);
        (self.low, self.range) = (low, range);
        Ok(bit)
    }

    #[inline]
    fn tree<const CHANCES: usize>(
        &mut self,
        chances: &mut [Chance; CHANCES],
        bits: u32,
        value: u64,
    ) -> Result<u64, Infallible> {
        // Both stay in registers from bit to bit.
        let (mut low, mut range) = (self.low, self.range);
        let mut node = 1;
        for at in (0..bits).rev() {
            let bit = value >> at & 1 == 1;
            self.code_bit((&mut low, &mut range), &mut chances[node & (CHANCES - 1)], bit);
            node = node << 1 | usize::from(bit);
        }
        (self.low, self.range) = (low, range);
        Ok(node as u64 - (1 << bits))
    }

    #[inline]
    fn unary(&mut self, chances: &mut [Chance; 128], most: u32, count: u32) -> Result<u32, Infallible> {
        let (mut low, mut range) = (self.low, self.range);
        for (at, chance) in (0..most.min(count + 1)).zip(chances) {
            self.code_bit((&mut low, &mut range), chance, at < count);
        }
        (self.low, self.range) = (low, range);
        Ok(count)
    }

    #[inline]
    fn raw(&mut self, value: u64, bits: u32) -> Result<u64, Infallible> {
        let (mut left, mut bits_left) = (value, bits);
        while bits_left > 0 {
            let taken = bits_left.min(32);
            self.rest |= (left & ((1 << taken) - 1)) << self.rest_bits;
            self.rest_bits += taken;
            while self.rest_bits >= 8 {
                self.raw.push(self.rest as u8);
                self.rest >>= 8;
                self.rest_bits -= 8;
            }
            left >>= taken;
            bits_left -= taken;
        }
        Ok(value)
    }
}

/// The bytes end before the values do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut;

/// Reads.
pub(super) struct Decoder<'a> {
    code: u32,
    range: u32,
    coded: &'a [u8],
    raw: &'a [u8],
    rest: u64,
    rest_bits: u32,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(raw: &'a [u8], coded: &'a [u8]) -> Result<Self, Cut> {
        // The first byte is the carry of the first shift: always 0.
        let (start, coded) = coded.split_first_chunk::<5>().ok_or(Cut)?;
        let code = u32::from_be_bytes([start[1], start[2], start[3], start[4]]);
        Ok(Self { code, range: u32::MAX, coded, raw, rest: 0, rest_bits: 0 })
    }

    /// Whether every byte was read.
    pub(super) const fn is_at_end(&self) -> bool {
        self.coded.is_empty() && self.raw.is_empty()
    }
}

fn next(bytes: &mut &[u8]) -> Result<u8, Cut> {
    let (byte, rest) = bytes.split_first().ok_or(Cut)?;
    *bytes = rest;
    Ok(*byte)
}

impl Decoder<'_> {
    /// Reads a bit, with `code` and `range` at hand.
    #[inline(always)]
    fn read_bit(&mut self, (code, range): (&mut u32, &mut u32), chance: &mut Chance) -> Result<bool, Cut> {
        let bound = (*range >> 12) * chance.zero_of_4096();
        let bit = *code >= bound;
        // Without a branch, as the encoder.
        *code -= select_unpredictable(bit, bound, 0);
        *range = select_unpredictable(bit, *range - bound, bound);
        chance.learn(bit);
        while *range < 1 << 24 {
            *range <<= 8;
            *code = *code << 8 | u32::from(next(&mut self.coded)?);
        }
        Ok(bit)
    }
}

impl Coder for Decoder<'_> {
    type Error = Cut;

    #[inline]
    fn bit(&mut self, chance: &mut Chance, _: bool) -> Result<bool, Cut> {
        let (mut code, mut range) = (self.code, self.range);
        let bit = self.read_bit((&mut code, &mut range), chance)?;
        (self.code, self.range) = (code, range);
        Ok(bit)
    }

    #[inline]
    fn tree<const CHANCES: usize>(&mut self, chances: &mut [Chance; CHANCES], bits: u32, _: u64) -> Result<u64, Cut> {
        let (mut code, mut range) = (self.code, self.range);
        let mut node = 1;
        for _ in 0..bits {
            let bit = self.read_bit((&mut code, &mut range), &mut chances[node & (CHANCES - 1)])?;
            node = node << 1 | usize::from(bit);
        }
        (self.code, self.range) = (code, range);
        Ok(node as u64 - (1 << bits))
    }

    #[inline]
    fn unary(&mut self, chances: &mut [Chance; 128], most: u32, _: u32) -> Result<u32, Cut> {
        let (mut code, mut range) = (self.code, self.range);
        let mut count = 0;
        for chance in chances.iter_mut().take(most as usize) {
            if !self.read_bit((&mut code, &mut range), chance)? {
                break;
            }
            count += 1;
        }
        (self.code, self.range) = (code, range);
        Ok(count)
    }

    #[inline]
    fn raw(&mut self, _: u64, bits: u32) -> Result<u64, Cut> {
        let (mut value, mut done) = (0, 0);
        while done < bits {
            let taken = (bits - done).min(32);
            while self.rest_bits < taken {
                self.rest |= u64::from(next(&mut self.raw)?) << self.rest_bits;
                self.rest_bits += 8;
            }
            value |= (self.rest & ((1 << taken) - 1)) << done;
            self.rest >>= taken;
            self.rest_bits -= taken;
            done += taken;
        }
        Ok(value)
    }
}

/// What was learnt of a kind of number: how many digits it has, and its first ones.
pub(super) struct Number {
    digits: [Chance; 128],
    /// Which of `first` a number of so many digits has, counted from 1: few of 65 come up, and all of them take longer to set up than to learn.
    places: [u8; 65],
    first: Vec<[Chance; 1 << LEARNT_BITS]>,
}

impl Number {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self { digits: [Chance::EVEN; 128], places: [0; 65], first: Vec::new() })
    }

    /// Codes a number: its digits (0 to 64), the first ones below the leading 1, the rest.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, value: u64) -> Result<u64, C::Error> {
        let digits = coder.tree(&mut self.digits, 7, u64::from(u64::BITS - value.leading_zeros()))?;
        self.code_digits(coder, value, (digits as u32).min(64))
    }

    /// Likewise, in less time where most are small: how many digits is asked from 0 upwards. Not of one kind with [`Self::code`].
    pub(super) fn code_small<C: Coder>(&mut self, coder: &mut C, value: u64) -> Result<u64, C::Error> {
        let digits = coder.unary(&mut self.digits, u64::BITS, u64::BITS - value.leading_zeros())?;
        self.code_digits(coder, value, digits)
    }

    fn code_digits<C: Coder>(&mut self, coder: &mut C, value: u64, digits: u32) -> Result<u64, C::Error> {
        let Some(below) = digits.checked_sub(1) else {
            return Ok(0);
        };
        let learnt = below.min(LEARNT_BITS);
        let stored = below - learnt;
        let place = &mut self.places[digits as usize];
        if *place == 0 {
            self.first.push([Chance::EVEN; 1 << LEARNT_BITS]);
            *place = self.first.len() as u8;
        }
        let chances = &mut self.first[usize::from(*place) - 1];
        let first = coder.tree(chances, learnt, value >> stored & ((1 << learnt) - 1))?;
        let rest = coder.raw(value & ((1 << stored) - 1), stored)?;
        Ok(1 << below | first << stored | rest)
    }
}

/// Whether something was as expected, with one chance for each way it was before.
pub(super) struct Hit {
    chances: [Chance; 2],
    before: bool,
}

impl Hit {
    pub(super) const fn new() -> Self {
        Self { chances: [Chance::EVEN; 2], before: true }
    }

    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, hit: bool) -> Result<bool, C::Error> {
        let missed = coder.bit(&mut self.chances[usize::from(self.before)], !hit)?;
        self.before = !missed;
        Ok(!missed)
    }
}

/// Signed to unsigned, small magnitudes to small numbers.
pub(super) const fn zigzag(value: u64) -> u64 {
    let value = value as i64;
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(super) const fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back_and_every_byte_is_read(numbers: Vec<(u64, u32)>, same in 0_usize..5_000) {
            let mut values: Vec<u64> = numbers.iter().map(|(value, shift)| value >> (shift % 64)).collect();
            values.extend(std::iter::repeat_n(7, same));
            let (mut encoder, mut number) = (Encoder::new(), Number::new());
            let mut small = Number::new();
            for value in &values {
                let Ok(told) = number.code(&mut encoder, *value);
                prop_assert_eq!(told, *value);
                prop_assert_eq!(small.code_small(&mut encoder, *value), Ok(*value));
            }
            let (raw, coded) = encoder.finish();
            let (mut decoder, mut number, mut small) = (Decoder::new(&raw, &coded).unwrap(), Number::new(), Number::new());
            for value in &values {
                prop_assert_eq!(number.code(&mut decoder, 0), Ok(*value));
                prop_assert_eq!(small.code_small(&mut decoder, 0), Ok(*value));
            }
            prop_assert!(decoder.is_at_end());
        }

        #[test]
        fn any_bytes_are_read_to_their_end_at_most(raw: Vec<u8>, coded: Vec<u8>) {
            if let Ok(mut decoder) = Decoder::new(&raw, &coded) {
                let mut number = Number::new();
                let read = (0..10_000).map_while(|_| number.code(&mut decoder, 0).ok()).count();
                prop_assert!(read <= 10_000);
            }
        }
    }

    #[test]
    fn what_is_always_the_same_costs_next_to_nothing() {
        let (mut encoder, mut hit) = (Encoder::new(), Hit::new());
        for _ in 0..10_000 {
            assert_eq!(hit.code(&mut encoder, true), Ok(true));
        }
        assert!(encoder.finish().1.len() <= 40);
    }

    #[test]
    fn zigzag_is_undone() {
        for value in [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, 12_345] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
