//! Lists that share their storage as Go's slices do.
//!
//! Two slices of one array see each other's writes: `append` fills spare capacity in place, sorting sorts
//! the shared cells. So that a template observes what Go shows, capacities grow exactly as Go's do.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;

/// What a list can hold.
pub(crate) trait Cell: Clone + Default {
    /// The size of the Go type in bytes, which decides how capacity grows.
    const SIZE: usize;
    /// Whether the Go type holds pointers.
    const POINTERS: bool = true;

    /// Empties `cells` before they are dropped, where that takes more than dropping each.
    fn dismantle(cells: &mut Vec<Self>) {
        let _ = cells;
    }
}

/// The array behind slices. Its spare capacity need not be there: a cell never written holds zero.
pub(crate) struct Cells<T: Cell>(RefCell<Vec<T>>);

impl<T: Cell> Cells<T> {
    /// Takes the content, leaving nothing to drop.
    pub(crate) fn take(&mut self) -> Vec<T> {
        std::mem::take(self.0.get_mut())
    }

    /// Looks at the element at `place`.
    pub(crate) fn with<R>(&self, place: usize, f: impl FnOnce(&T) -> R) -> R {
        f(&self.0.borrow()[place])
    }
}

impl<T: Cell> Drop for Cells<T> {
    fn drop(&mut self) {
        T::dismantle(self.0.get_mut());
    }
}

/// A slice: a window on an array, with room to grow up to its capacity. May be nil.
#[derive(Clone)]
pub(crate) struct Slice<T: Cell> {
    cells: Option<Rc<Cells<T>>>,
    start: usize,
    len: usize,
    capacity: usize, // from `start`
}

impl<T: Cell> Slice<T> {
    pub(crate) fn nil() -> Slice<T> {
        Slice { cells: None, start: 0, len: 0, capacity: 0 }
    }

    /// A slice made in one go: its capacity is its length.
    pub(crate) fn exact(content: Vec<T>) -> Slice<T> {
        let len = content.len();
        Slice { cells: Some(Rc::new(Cells(RefCell::new(content)))), start: 0, len, capacity: len }
    }

    /// A slice built in Go by appending one by one to nil: nil if empty.
    pub(crate) fn appended(content: Vec<T>) -> Slice<T> {
        if content.is_empty() {
            return Slice::nil();
        }
        let mut capacity = 0;
        while capacity < content.len() {
            capacity = grown::<T>(capacity);
        }
        Slice { capacity, ..Slice::exact(content) }
    }

    /// The same, but empty rather than nil if there is nothing.
    pub(crate) fn appended_to_empty(content: Vec<T>) -> Slice<T> {
        if content.is_empty() { Slice::exact(content) } else { Slice::appended(content) }
    }

    pub(crate) fn is_nil(&self) -> bool {
        self.cells.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn get(&self, index: usize) -> Option<T> {
        if index >= self.len {
            return None;
        }
        self.cells.as_ref().map(|cells| cells.0.borrow()[self.start + index].clone())
    }

    /// Where the element at `index` lies: its array, and its place there.
    pub(crate) fn place(&self, index: usize) -> Option<(Rc<Cells<T>>, usize)> {
        let cells = self.cells.as_ref().filter(|_| index < self.len)?;
        Some((Rc::clone(cells), self.start + index))
    }

    /// The place of the element at `index`, if there is one and it lies in `cells`.
    pub(crate) fn place_in(&self, cells: &Rc<Cells<T>>, index: usize) -> Option<usize> {
        let ours = self.cells.as_ref().filter(|_| index < self.len)?;
        Rc::ptr_eq(ours, cells).then_some(self.start + index)
    }

    /// Looks at the cells; `f` must not come back to the same list.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&[T]) -> R) -> R {
        match &self.cells {
            Some(cells) => f(&Ref::map(cells.0.borrow(), |all| &all[self.start..self.start + self.len])),
            None => f(&[]),
        }
    }

    /// Changes the cells, for all slices that share them.
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(&mut [T]) -> R) -> R {
        match &self.cells {
            Some(cells) => {
                f(&mut RefMut::map(cells.0.borrow_mut(), |all| &mut all[self.start..self.start + self.len]))
            }
            None => f(&mut []),
        }
    }

    /// `list[from:to]`, or `list[from:to:limit]`. The bounds are in order and within the capacity.
    pub(crate) fn slice(&self, from: usize, to: usize, limit: Option<usize>) -> Slice<T> {
        let Some(cells) = &self.cells else { return Slice::nil() };
        let (start, end) = (self.start + from, self.start + to);
        let mut all = cells.0.borrow_mut();
        if all.len() < end {
            all.resize(end, T::default());
        }
        drop(all);
        let capacity = limit.unwrap_or(self.capacity) - from;
        Slice { cells: Some(Rc::clone(cells)), start, len: to - from, capacity }
    }

    /// Go's `append` of one element: into the spare capacity, which others may share, or into a copy.
    pub(crate) fn append(&self, element: T) -> Slice<T> {
        let end = self.start + self.len;
        if let Some(cells) = &self.cells
            && self.len < self.capacity
        {
            let mut all = cells.0.borrow_mut();
            if all.len() <= end {
                all.resize(end + 1, T::default());
            }
            all[end] = element;
            drop(all);
            return Slice { len: self.len + 1, ..self.clone() };
        }
        let capacity = grown::<T>(self.capacity);
        let mut content = Vec::with_capacity(self.len + 1);
        self.with(|old| content.extend_from_slice(old));
        content.push(element);
        Slice { capacity, ..Slice::exact(content) }
    }

    /// The array itself, if nobody else holds it.
    pub(crate) fn into_cells(self) -> Option<Cells<T>> {
        self.cells.and_then(|cells| Rc::try_unwrap(cells).ok())
    }
}

impl<T: Cell> Default for Slice<T> {
    fn default() -> Slice<T> {
        Slice::nil()
    }
}

/// The capacity after appending one element to a full slice: doubled while small, then by a quarter and
/// a bit, rounded up to what Go's allocator would hand out (`runtime/slice.go`, `runtime/msize.go`).
fn grown<T: Cell>(capacity: usize) -> usize {
    const SMALL: usize = 256;
    let wanted = match capacity {
        0 => 1,
        1..SMALL => 2 * capacity,
        _ => capacity + (capacity + 3 * SMALL) / 4,
    };
    allocated(wanted * T::SIZE, T::POINTERS) / T::SIZE
}

/// The bytes that Go's allocator has for a request of `size`. Above 512 bytes, memory that holds pointers
/// starts with a word that says where they are.
fn allocated(size: usize, pointers: bool) -> usize {
    const LARGEST: usize = 32_768;
    const WORD: usize = 8;
    const PAGE: usize = 8_192;
    if size > LARGEST - WORD {
        return size.next_multiple_of(PAGE);
    }
    let header = if pointers && size > 512 { WORD } else { 0 };
    let class = SIZE_CLASSES.partition_point(|&class| usize::from(class) < size + header);
    usize::from(SIZE_CLASSES[class]) - header
}

/// `runtime/sizeclasses.go`.
const SIZE_CLASSES: [u16; 67] = [
    8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416,
    448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200,
    3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336,
    16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
];

impl Cell for i64 {
    const SIZE: usize = 8;
    const POINTERS: bool = false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_share_spare_capacity() {
        let full = Slice::exact(vec![1i64, 2, 3]);
        let roomy = full.append(4);
        let first = roomy.append(5);
        let second = roomy.append(6);
        first.with(|cells| assert_eq!(cells, [1, 2, 3, 4, 6], "the second append wrote over the first"));
        second.with(|cells| assert_eq!(cells, [1, 2, 3, 4, 6]));
        full.with(|cells| assert_eq!(cells, [1, 2, 3]));
    }

    #[test]
    fn a_slice_reaches_into_spare_capacity() {
        let list = Slice::exact(vec![1i64, 2, 3]).slice(0, 1, None);
        list.slice(0, 3, None).with(|cells| assert_eq!(cells, [1, 2, 3]));
        assert_eq!(list.slice(0, 1, Some(1)).capacity(), 1);
    }

    #[test]
    fn capacities_grow_in_size_classes() {
        let mut capacities = vec![];
        let mut list = Slice::<i64>::nil();
        for n in 0..2_000 {
            list = list.append(n);
            if capacities.last() != Some(&list.capacity()) {
                capacities.push(list.capacity());
            }
        }
        assert_eq!(capacities, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 848, 1280, 1792, 2560]);
    }
}
