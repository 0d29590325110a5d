//! Sort: the order in which Go's `sort.Sort` leaves elements, equal ones included.
//!
//! Go's sort is not stable, and templates show where equal elements end up. So this takes the same steps:
//! insertion sort up to twelve elements, beyond that pattern-defeating quicksort with the pivots, the swaps
//! and the pseudo-random shuffles of Go 1.19 and later (`sort/zsortinterface.go`).

/// Sorts by `less`.
pub(crate) fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let limit = usize::BITS - items.len().leading_zeros();
    Sort { items, less }.range(0, None, limit);
}

struct Sort<'a, T, F> {
    items: &'a mut [T],
    less: F,
}

/// What choosing a pivot told about the order.
#[derive(PartialEq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

impl<T, F: Fn(&T, &T) -> bool> Sort<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.items[a], &self.items[b])
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.items.swap(a, b);
    }

    /// Sorts `from..to`. `limit` bad pivots are borne with before heap sort takes over.
    fn range(&mut self, mut from: usize, to: Option<usize>, mut limit: u32) {
        let mut to = to.unwrap_or(self.items.len());
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let length = to - from;
            if length <= 12 {
                return self.insertion_sort(from, to);
            }
            if limit == 0 {
                return self.heap_sort(from, to);
            }
            if !balanced {
                self.break_patterns(from, to);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(from, to);
            if hint == Hint::Decreasing {
                self.items[from..to].reverse();
                pivot = to - 1 - (pivot - from);
                hint = Hint::Increasing;
            }
            if balanced && partitioned && hint == Hint::Increasing && self.nearly_sorted(from, to) {
                return;
            }
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.partition_equal(from, to, pivot);
                continue;
            }
            let middle;
            (middle, partitioned) = self.partition(from, to, pivot);
            let (left, right) = (middle - from, to - middle);
            balanced = left.min(right) >= length / 8;
            if left < right {
                self.range(from, Some(middle), limit);
                from = middle + 1;
            } else {
                self.range(middle + 1, Some(to), limit);
                to = middle;
            }
        }
    }

    fn insertion_sort(&mut self, from: usize, to: usize) {
        for start in from + 1..to {
            let mut at = start;
            while at > from && self.less(at, at - 1) {
                self.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    fn heap_sort(&mut self, from: usize, to: usize) {
        let length = to - from;
        for root in (0..=(length - 1) / 2).rev() {
            self.sift_down(root, length, from);
        }
        for end in (0..length).rev() {
            self.swap(from, from + end);
            self.sift_down(0, end, from);
        }
    }

    fn sift_down(&mut self, mut root: usize, end: usize, first: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.swap(first + root, first + child);
            root = child;
        }
    }

    /// Puts what is less than the pivot before it; tells where the pivot is then, and whether there was
    /// nothing to do.
    fn partition(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.swap(from, pivot);
        let (mut low, mut high) = self.misplaced(from, from + 1, to - 1);
        if low > high {
            self.swap(high, from);
            return (high, true);
        }
        while low <= high {
            self.swap(low, high);
            (low, high) = self.misplaced(from, low + 1, high - 1);
        }
        self.swap(high, from);
        (high, false)
    }

    /// Narrows `low..=high` to the next two elements on the wrong side of the pivot.
    fn misplaced(&self, pivot: usize, mut low: usize, mut high: usize) -> (usize, usize) {
        while low <= high && self.less(low, pivot) {
            low += 1;
        }
        while low <= high && !self.less(high, pivot) {
            high -= 1;
        }
        (low, high)
    }

    /// Puts what equals the pivot first; the rest is greater.
    fn partition_equal(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.swap(from, pivot);
        let (mut low, mut high) = (from + 1, to - 1);
        loop {
            while low <= high && !self.less(from, low) {
                low += 1;
            }
            while low <= high && self.less(from, high) {
                high -= 1;
            }
            if low > high {
                return low;
            }
            self.swap(low, high);
            low += 1;
            high -= 1;
        }
    }

    /// Mends a few elements out of order; tells whether that sorted it.
    fn nearly_sorted(&mut self, from: usize, to: usize) -> bool {
        let mut at = from + 1;
        for _ in 0..5 {
            while at < to && !self.less(at, at - 1) {
                at += 1;
            }
            if at == to {
                return true;
            }
            if to - from < 50 {
                return false;
            }
            self.swap(at, at - 1);
            if at - from >= 2 {
                // Down to the very first element, not to `from`: Go's own bound.
                for left in (1..at).rev() {
                    if !self.less(left, left - 1) {
                        break;
                    }
                    self.swap(left, left - 1);
                }
            }
            if to - at >= 2 {
                for right in at + 1..to {
                    if !self.less(right, right - 1) {
                        break;
                    }
                    self.swap(right, right - 1);
                }
            }
        }
        false
    }

    /// Swaps three elements with pseudo-random others, the same for each length.
    fn break_patterns(&mut self, from: usize, to: usize) {
        let length = to - from;
        if length < 8 {
            return;
        }
        let mut random = length as u64;
        let modulus = 1usize << (usize::BITS - length.leading_zeros());
        let middle = from + length / 4 * 2;
        for index in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = random as usize & (modulus - 1);
            self.swap(index, from + if other >= length { other - length } else { other });
        }
    }

    fn choose_pivot(&self, from: usize, to: usize) -> (usize, Hint) {
        let length = to - from;
        let mut swaps = 0;
        let [mut a, mut b, mut c] = [1, 2, 3].map(|quarter| from + length / 4 * quarter);
        if length >= 8 {
            if length >= 50 {
                a = self.median([a - 1, a, a + 1], &mut swaps);
                b = self.median([b - 1, b, b + 1], &mut swaps);
                c = self.median([c - 1, c, c + 1], &mut swaps);
            }
            b = self.median([a, b, c], &mut swaps);
        }
        let hint = match swaps {
            0 => Hint::Increasing,
            12 => Hint::Decreasing,
            _ => Hint::Unknown,
        };
        (b, hint)
    }

    fn median(&self, [mut a, mut b, mut c]: [usize; 3], swaps: &mut u32) -> usize {
        let mut order = |a: &mut usize, b: &mut usize| {
            if self.less(*b, *a) {
                std::mem::swap(a, b);
                *swaps += 1;
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lengths_and_patterns_come_out_sorted() {
        for length in 0..400usize {
            let patterns: [fn(usize) -> usize; 5] = [
                |i| i,
                |i| 1000 - i,
                |i| i * 7919 % 101,
                |i| i % 3,
                |i| if i % 2 == 0 { i } else { 500 - i },
            ];
            for pattern in patterns {
                let mut items: Vec<usize> = (0..length).map(pattern).collect();
                let mut sorted = items.clone();
                sorted.sort_unstable();
                sort(&mut items, |a, b| a < b);
                assert_eq!(items, sorted);
            }
        }
    }

    #[test]
    fn equal_elements_end_where_go_leaves_them() {
        let mut words: Vec<&str> =
            "t1 s r22 q p1 o n33 m l1 k j i22 h g1 f e33 d c1 b a".split(' ').collect();
        sort(&mut words, |a, b| a.len() < b.len());
        assert_eq!(words.join(" "), "j s a q b o d m k f h t1 g1 l1 c1 p1 i22 e33 n33 r22");
    }
}
