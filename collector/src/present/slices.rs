//! Reading much of the book a little at a time, so that whoever writes never waits long.
//!
//! What is read of one item is of one instant; between two items something may have come in. Questions about many checks need no more: each figure names its check.

use std::ops::Deref;

use sitepulse_daemon::clock;

use crate::book::Book;

/// How long the book is held at a time, about: until the item that reaches it is done. In microseconds.
pub const SLICE_US: u64 = 1_000;

/// Calls `each` with every item and the book, which `book` gives a guard of; tells how long it was held at most, in microseconds.
pub fn in_slices<B, T>(book: impl Fn() -> B, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&Book, T)) -> u64
where
    B: Deref<Target = Book>,
{
    let mut held_us_max = 0;
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        let book = book();
        let taken = clock::monotonic();
        for item in items.by_ref() {
            each(&book, item);
            if clock::monotonic().us_since(taken) >= SLICE_US {
                break;
            }
        }
        drop(book);
        held_us_max = held_us_max.max(clock::monotonic().us_since(taken));
    }
    held_us_max
}
