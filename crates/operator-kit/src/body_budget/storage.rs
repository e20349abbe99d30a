//! The bytes of a body while it arrives and is read.

use std::ops::Deref;

use memmap2::MmapMut;
use tracing::debug;

/// From this length on a body has a mapping of its own.
const SMALL: usize = 64 << 10;

/// The bytes of one body. Those of a long one are mapped: the system gives pages as they are written, and has them back
/// the moment the body is dropped. An allocator keeps room that large blocks of various lengths leave behind, for each
/// thread apart, and in the end holds several times what was ever held at once.
#[derive(Debug)]
pub(super) struct Storage {
    /// How long the body is, or may be.
    capacity: usize,
    length: usize,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Allocated(Vec<u8>),
    Mapped(MmapMut),
}

impl Storage {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, length: 0, bytes: Bytes::Allocated(Vec::new()) }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        let end = self.length + piece.len();
        if let Bytes::Allocated(bytes) = &self.bytes
            && end > SMALL
            && let Some(mut map) = map(self.capacity.max(end))
            && let Some(begin) = map.get_mut(..bytes.len())
        {
            begin.copy_from_slice(bytes);
            self.bytes = Bytes::Mapped(map);
        }
        match &mut self.bytes {
            Bytes::Allocated(bytes) => bytes.extend_from_slice(piece),
            Bytes::Mapped(map) => match map.get_mut(self.length..end) {
                Some(rest) => rest.copy_from_slice(piece),
                // It is longer than announced, which HTTP does not let through.
                None => return,
            },
        }
        self.length = end;
    }
}

/// Room that costs nothing until it is written; `None` where the system gives none.
fn map(length: usize) -> Option<MmapMut> {
    let map =
        MmapMut::map_anon(length).inspect_err(|error| debug!(%error, length, "cannot map room for a body")).ok()?;
    // Huge pages would take 2 MiB for the first byte. Where there are none, that cannot be refused.
    #[cfg(target_os = "linux")]
    drop(map.advise(memmap2::Advice::NoHugePage));
    Some(map)
}

impl Deref for Storage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes: &[u8] = match &self.bytes {
            Bytes::Allocated(bytes) => bytes,
            Bytes::Mapped(map) => map,
        };
        bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_out_in_a_row() {
        for lengths in [vec![], vec![0], vec![1], vec![SMALL], vec![SMALL - 1, 1, 1, 5], vec![3 * SMALL, 0, 7]] {
            let total: usize = lengths.iter().sum();
            let all: Vec<u8> = (0..=u8::MAX).cycle().take(total).collect();
            for capacity in [total, total + 100 * SMALL] {
                let (mut storage, mut rest) = (Storage::new(capacity), &all[..]);
                for length in &lengths {
                    let (piece, after) = rest.split_at(*length);
                    storage.push(piece);
                    rest = after;
                }
                assert!(*storage == all, "{lengths:?}");
                assert_eq!(matches!(storage.bytes, Bytes::Mapped(_)), total > SMALL, "{lengths:?}");
            }
        }
    }
}
