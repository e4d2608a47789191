//! Columns of numbers, bit-packed: what makes a batch small.
//!
//! A column of n numbers, n known from elsewhere (nothing is written for n = 0):
//! smallest value (LEB128); width byte w (0 to 64; bit 7: an extra byte follows); extra byte (bits 0-1 scale: 1, 1000 or 1,000,000;
//! bit 2: exceptions follow); n numbers of w bits, low bit first, padded to a byte; exceptions.
//! A number is `smallest + packed`. Few large outliers do not widen the column: their low w bits are packed, the rest follows as
//! exceptions: count, then each as gap from the index before and the bits above w (both LEB128).
//! A signed column holds `zigzag(value / scale)`.

use crate::leb::{self, put, unzigzag, zigzag};

const EXTRA: u8 = 0x80;
const EXCEPTIONS: u8 = 1 << 2;
const SCALES: [i64; 3] = [1, 1_000, 1_000_000];

/// A column that does not decode.
pub(crate) type Bad = &'static str;

/// Appends a column of unsigned numbers.
pub(crate) fn pack(values: &[u64], out: &mut Vec<u8>) {
    pack_scaled(values, 0, out);
}

/// Appends a column of signed numbers, scaled down where all of them allow it.
pub(crate) fn pack_signed(values: &[i64], out: &mut Vec<u8>) {
    let scale = (1..SCALES.len()).rev().find(|code| values.iter().all(|value| value % SCALES[*code] == 0)).unwrap_or(0);
    let scaled: Vec<u64> = values.iter().map(|value| zigzag(value / SCALES[scale])).collect();
    pack_scaled(&scaled, scale as u8, out);
}

fn pack_scaled(values: &[u64], scale: u8, out: &mut Vec<u8>) {
    let Some(&smallest) = values.iter().min() else { return };
    put(smallest, out);
    let mut widths = [0_usize; 65];
    for value in values {
        widths[bits(value - smallest)] += 1;
    }
    let width = best_width(&widths, values.len());
    let exceptions: usize = widths[width + 1..].iter().sum();
    let extra = scale | if exceptions > 0 { EXCEPTIONS } else { 0 };
    out.push(width as u8 | if extra != 0 { EXTRA } else { 0 });
    if extra != 0 {
        out.push(extra);
    }
    let low = mask(width);
    let mut gathered = 0_u128;
    let mut count = 0;
    for value in values {
        gathered |= u128::from((value - smallest) & low) << count;
        count += width;
        if count >= 64 {
            out.extend_from_slice(&(gathered as u64).to_le_bytes());
            gathered >>= 64;
            count -= 64;
        }
    }
    out.extend_from_slice(&gathered.to_le_bytes()[..count.div_ceil(8)]);
    if exceptions > 0 {
        put(exceptions as u64, out);
        let mut next = 0;
        for (at, value) in values.iter().enumerate() {
            let packed = value - smallest;
            if bits(packed) > width {
                put((at - next) as u64, out);
                put(packed >> width, out);
                next = at + 1;
            }
        }
    }
}

/// The width at which the column with these counts of widths is smallest.
fn best_width(widths: &[usize; 65], count: usize) -> usize {
    let mut best = (usize::MAX, 0);
    for width in (0..=64).filter(|width| widths[*width] > 0) {
        let exceptions: usize = (width + 1..=64)
            .filter(|wide| widths[*wide] > 0)
            .map(|wide| widths[wide] * 8 * (1 + (wide - width).div_ceil(7)))
            .sum();
        best = best.min((count * width + exceptions, width));
    }
    best.1
}

fn bits(value: u64) -> usize {
    64 - value.leading_zeros() as usize
}

fn mask(width: usize) -> u64 {
    if width == 64 { u64::MAX } else { (1 << width) - 1 }
}

/// Takes a column of `count` unsigned numbers off the front.
pub(crate) fn unpack(input: &mut &[u8], count: usize) -> Result<Vec<u64>, Bad> {
    match unpack_scaled(input, count)? {
        (values, 0) => Ok(values),
        (_, _) => Err("an unsigned column is scaled"),
    }
}

/// Takes a column of `count` signed numbers off the front.
pub(crate) fn unpack_signed(input: &mut &[u8], count: usize) -> Result<Vec<i64>, Bad> {
    let (values, scale) = unpack_scaled(input, count)?;
    let scale = SCALES[scale];
    values.into_iter().map(|value| unzigzag(value).checked_mul(scale).ok_or("a scaled number is too large")).collect()
}

/// The raw numbers and the index of their scale. `count` must be bounded by the caller: it bounds the memory.
fn unpack_scaled(input: &mut &[u8], count: usize) -> Result<(Vec<u64>, usize), Bad> {
    if count == 0 {
        return Ok((Vec::new(), 0));
    }
    let smallest = leb::take(input).ok_or("a column ends early")?;
    let width_byte = byte(input)?;
    let width = usize::from(width_byte & !EXTRA);
    let extra = if width_byte & EXTRA == 0 { 0 } else { byte(input)? };
    let scale = usize::from(extra & 3);
    if width > 64 || scale >= SCALES.len() || extra > (EXCEPTIONS | 3) {
        return Err("a column's width or scale is unknown");
    }
    let (mut packed, rest) = input.split_at_checked((count * width).div_ceil(8)).ok_or("a column ends early")?;
    *input = rest;
    let mut values = Vec::with_capacity(count);
    let low = mask(width);
    let mut gathered = 0_u128;
    let mut held = 0;
    for _ in 0..count {
        if held < width {
            let (word, taken) = word(&mut packed);
            gathered |= u128::from(word) << held;
            held += taken * 8;
        }
        values.push(gathered as u64 & low);
        gathered >>= width;
        held -= width;
    }
    if extra & EXCEPTIONS != 0 {
        patch(input, width, &mut values)?;
    }
    for value in &mut values {
        *value = value.checked_add(smallest).ok_or("a packed number is too large")?;
    }
    Ok((values, scale))
}

/// The next eight bytes, or all that is left.
fn word(packed: &mut &[u8]) -> (u64, usize) {
    let taken = packed.len().min(8);
    let (now, rest) = packed.split_at(taken);
    let mut word = [0; 8];
    word[..taken].copy_from_slice(now);
    *packed = rest;
    (u64::from_le_bytes(word), taken)
}

fn patch(input: &mut &[u8], width: usize, values: &mut [u64]) -> Result<(), Bad> {
    let exceptions = leb::take(input).ok_or("a column ends early")?;
    let mut next = 0_u64;
    for _ in 0..exceptions {
        let gap = leb::take(input).ok_or("a column ends early")?;
        let high = leb::take(input).ok_or("a column ends early")?;
        let at = next.checked_add(gap).filter(|at| *at < values.len() as u64).ok_or("an exception lies outside")?;
        if high == 0 || width >= 64 || high > u64::MAX >> width {
            return Err("an exception is out of range");
        }
        values[at as usize] |= high << width;
        next = at + 1;
    }
    Ok(())
}

fn byte(input: &mut &[u8]) -> Result<u8, Bad> {
    let (byte, rest) = input.split_first().ok_or("a column ends early")?;
    *input = rest;
    Ok(*byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(values: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        pack(values, &mut out);
        out
    }

    #[test]
    fn sizes() {
        assert_eq!(packed(&[]).len(), 0);
        assert_eq!(packed(&[5; 1000]).len(), 2);
        assert_eq!(packed(&[1, 2, 3, 4]).len(), 3);
        let mut outlier = [7; 100];
        outlier[50] = 10_000_000;
        assert_eq!(packed(&outlier).len(), 9);
        let mut slots = Vec::new();
        pack_signed(&[60_000, -3_000, 0, 7_000], &mut slots);
        assert_eq!(slots.len(), 3 + 4);
    }

    proptest! {
        #[test]
        fn every_column_comes_back(values in prop::collection::vec((any::<u64>(), 0_u32..64), 0..300), tail: Vec<u8>) {
            let values: Vec<u64> = values.into_iter().map(|(value, shift)| value >> shift).collect();
            let mut bytes = packed(&values);
            bytes.extend_from_slice(&tail);
            let mut input = &bytes[..];
            prop_assert_eq!(unpack(&mut input, values.len()).unwrap(), values);
            prop_assert_eq!(input, &tail[..]);
        }

        #[test]
        fn every_signed_column_comes_back(values in prop::collection::vec(any::<i64>(), 0..100), scale in 0_usize..3, shift in 0_u32..40) {
            let values: Vec<i64> = values.iter().map(|value| (value >> shift) / SCALES[scale] * SCALES[scale]).collect();
            let mut bytes = Vec::new();
            pack_signed(&values, &mut bytes);
            prop_assert_eq!(unpack_signed(&mut &bytes[..], values.len()).unwrap(), values);
        }

        #[test]
        fn any_bytes_are_handled(bytes: Vec<u8>, count in 0_usize..5000) {
            if let Ok(values) = unpack(&mut &bytes[..], count) {
                prop_assert_eq!(values.len(), count);
            }
            drop(unpack_signed(&mut &bytes[..], count));
        }
    }
}
