//! Compaction: small chunks of a pair that follow each other become one, of about [`CHUNK_RECORDS`].
//!
//! Late records and short waits make small chunks, and a chunk costs about as much as thirty records. A pair's chunks are looked at after it was
//! sealed, and at the start, as a kill may have come between. A group is merged when it makes a whole chunk, or when it has become long: each
//! record is written anew about once.

use sitepulse_model::time::UtcMicros;

use super::{CHUNK_RECORDS, chunk_of};
use crate::engine::Engine;
use crate::failpoint;
use crate::store::records::{self, ChunkHead, ChunkId};
use crate::store::seal::{self, ChunkBody, PairKey};
use crate::store::{StoreError, Tables};

/// Chunks of at least so many records stay as they are.
const WHOLE: u64 = CHUNK_RECORDS as u64 * 11 / 20;
/// So many small chunks in a row are merged, however few records they have.
const GROUP_MAX: usize = 12;
/// Most records and bytes of one merged chunk.
const MERGED_RECORDS_MAX: u64 = CHUNK_RECORDS as u64 * 2;
const MERGED_BYTES_MAX: u64 = 512 << 10;

/// Chunks of a pair that become one.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) key: PairKey,
    replaced: Vec<ChunkId>,
    merged: ChunkBody,
}

/// The groups of chunks, by first slot, that are to be merged.
fn groups(heads: &[ChunkHead]) -> Vec<&[ChunkHead]> {
    let mut groups = Vec::new();
    let mut rest = heads;
    while let Some(start) = rest.iter().position(|head| head.records < WHOLE) {
        rest = &rest[start..];
        let (mut records, mut bytes) = (0, 0);
        let fits = rest.iter().take(GROUP_MAX).take_while(|head| {
            let fits = records < WHOLE && head.records < WHOLE;
            records += head.records;
            bytes += head.bytes;
            fits && records <= MERGED_RECORDS_MAX && bytes <= MERGED_BYTES_MAX
        });
        let (group, tail) = rest.split_at(fits.count().max(1));
        let merged: u64 = group.iter().map(|head| head.records).sum();
        if group.len() > 1 && (merged >= WHOLE || group.len() == GROUP_MAX) {
            groups.push(group);
        }
        rest = tail;
    }
    groups
}

/// The next merge of a pair among the chunks from `since` on, and those right before that they may join; `None` when there is nothing to do. Chunks
/// that cannot be read stay as they are.
pub(crate) fn next(tables: Tables<'_>, key: PairKey, since: UtcMicros) -> Result<Option<Merge>, StoreError> {
    let heads = records::chunk_heads_since(tables, key, since, GROUP_MAX)?;
    'group: for group in groups(&heads) {
        let mut stored = Vec::new();
        for head in group {
            match records::chunk_records(tables, head.id)? {
                Ok(records) => stored.extend(records),
                Err(_) => continue 'group,
            }
        }
        stored.sort_by_key(|one| (one.record.scheduled(), one.incarnation, one.seq));
        let number = group.iter().map(|head| head.number).max().unwrap_or_default();
        let replaced = group.iter().map(|head| head.id).collect();
        return Ok(Some(Merge { key, replaced, merged: chunk_of(&stored, number) }));
    }
    Ok(None)
}

/// Pairs that are looked at in one read: each read opens the file anew.
pub(crate) const PAIRS: usize = 256;
/// Most merges that are prepared in one read.
const MERGES_MAX: usize = 16;
/// Newest chunks of each that are looked at: what a round that a kill ended had added. What lies deeper waits for the pair's next seal.
const NEWEST: usize = GROUP_MAX * 2;

/// What is merged next of some pairs.
#[derive(Debug, Default)]
pub(crate) struct Next {
    /// One of each.
    pub(crate) merges: Vec<Merge>,
    /// Of these nothing is left to merge.
    pub(crate) done: Vec<PairKey>,
}

/// Looks at pairs, each from where chunks were added, until enough is found: mostly there is nothing.
pub(crate) fn next_of(tables: Tables<'_>, pairs: &[(PairKey, UtcMicros)]) -> Result<Next, StoreError> {
    let mut found = Next::default();
    for (key, since) in pairs {
        match next(tables, *key, *since)? {
            Some(merge) => found.merges.push(merge),
            None => found.done.push(*key),
        }
        if found.merges.len() == MERGES_MAX {
            break;
        }
    }
    Ok(found)
}

/// Pairs with something to merge, as far as was looked.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Each with the first slot of the chunks that were looked at.
    pub(crate) found: Vec<(PairKey, UtcMicros)>,
    /// After which pair to go on; `None` when all were looked at.
    pub(crate) next: Option<PairKey>,
}

/// The pairs whose newest chunks are to be merged, among those that follow `after`: a slice of them.
pub(crate) fn waiting(tables: Tables<'_>, after: Option<PairKey>) -> Result<Waiting, StoreError> {
    let pairs = records::sealed_pairs_after(tables, after, PAIRS)?;
    let next = (pairs.len() == PAIRS).then(|| pairs.last().copied()).flatten();
    let mut found = Vec::new();
    for key in pairs {
        let heads = records::newest_chunk_heads(tables, key, NEWEST)?;
        if let (Some(first), false) = (heads.first(), groups(&heads).is_empty()) {
            found.push((key, first.first));
        }
    }
    Ok(Waiting { found, next })
}

impl Engine {
    /// Puts a merged chunk in the place of its parts, all or none; whether these were all still there.
    pub(crate) fn merge_chunks(&mut self, merge: &Merge) -> Result<bool, StoreError> {
        self.pausing(|engine| {
            let merged = engine.store.write(|tables| {
                let merged = seal::replace_chunks(tables, merge.key, &merge.replaced, &merge.merged)?;
                failpoint::pass("merge.turn");
                Ok(merged)
            })?;
            failpoint::pass("merge.turned");
            Ok(merged)
        })
    }

    /// Merges everything there is to merge in the caller's thread, for tests and the simulator. How many chunks were written.
    pub fn compact_now(&mut self) -> Result<u64, StoreError> {
        self.compact_since(UtcMicros::MIN)
    }

    /// [`Self::compact_now`] of chunks from `since` on alone, as the job does it with what was sealed.
    pub fn compact_since(&mut self, since: UtcMicros) -> Result<u64, StoreError> {
        let mut merged = 0;
        for key in records::sealed_pairs(self.store.read())? {
            while let Some(merge) = next(self.store.read(), key, since)? {
                merged += u64::from(self.merge_chunks(&merge)?);
            }
        }
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::Arrival;
    use sitepulse_model::id::AgentNo;

    fn sizes(records: &[u64]) -> Vec<Vec<u64>> {
        let head = |(n, records): (i64, &u64)| ChunkHead {
            id: ChunkId(n),
            agent: AgentNo(1),
            first: UtcMicros(n),
            last: UtcMicros(n),
            number: Arrival(n),
            records: *records,
            bytes: records * 10,
        };
        let heads: Vec<ChunkHead> = (0..).zip(records).map(head).collect();
        groups(&heads).iter().map(|group| group.iter().map(|head| head.records).collect()).collect()
    }

    #[test]
    fn small_neighbours_are_merged_once_they_make_a_chunk() {
        assert_eq!(sizes(&[300]), [[0; 0]; 0]);
        assert_eq!(sizes(&[300, 200]), [[0; 0]; 0]);
        assert_eq!(sizes(&[300, 300]), [[300, 300]]);
        assert_eq!(sizes(&[1000, 300, 300, 1000, 200, 1000]), [[300, 300]]);
        assert_eq!(sizes(&[549, 549, 549, 549]), [[549, 549], [549, 549]]);
        // Of 800 that wait for it, three quarters are sealed at a time, give or take one: they stay.
        assert_eq!(sizes(&[600, 599, 600, 599, 599]), [[0; 0]; 0]);
        // However few they are, there are never many in a row.
        assert_eq!(sizes(&[1; 12]), [[1; 12]]);
        assert_eq!(sizes(&[1; 11]), [[0; 0]; 0]);
    }
}
