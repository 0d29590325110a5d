//! A file that is written to in memory only: opening a database can repair it, and a file that turns out to
//! be of no use must stay as it was found.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// The unit in which written parts are kept.
const PAGE: u64 = 4096;

/// A file beneath, and what was written over it.
#[derive(Debug)]
pub(crate) struct Overlay {
    beneath: Box<dyn StorageBackend>,
    above: Mutex<Above>,
}

#[derive(Debug)]
struct Above {
    length: u64,
    /// Up to where the file beneath still shows: it does not come back once it was cut off.
    shows: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(crate) fn over(beneath: Box<dyn StorageBackend>) -> io::Result<Overlay> {
        let length = beneath.len()?;
        Ok(Overlay { beneath, above: Mutex::new(Above { length, shows: length, pages: BTreeMap::new() }) })
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page with that number as it is now.
    fn page(&self, above: &Above, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = above.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE as usize];
        let start = number * PAGE;
        let shown = above.shows.saturating_sub(start).min(PAGE) as usize;
        if shown > 0 {
            self.beneath.read(start, &mut page[..shown])?;
        }
        Ok(page)
    }
}

/// The parts of `length` bytes at `offset`, page by page: its number, the place in it, and how many bytes.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + length as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        let (number, place) = (at / PAGE, at % PAGE);
        let taken = (PAGE - place).min(end - at);
        at += taken;
        (taken > 0).then_some((number, place as usize, taken as usize))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().length)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        if offset + out.len() as u64 > above.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, place, taken) in parts(offset, out.len()) {
            let (part, rest) = out.split_at_mut(taken);
            part.copy_from_slice(&self.page(&above, number)?[place..place + taken]);
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut above = self.above();
        above.shows = above.shows.min(length);
        // What is written later behind a cut must not show what was there before it.
        above.pages.retain(|number, _| number * PAGE < length);
        if let Some(page) = above.pages.get_mut(&(length / PAGE)) {
            page[(length % PAGE) as usize..].fill(0);
        }
        above.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut above = self.above();
        above.length = above.length.max(offset + data.len() as u64);
        for (number, place, taken) in parts(offset, data.len()) {
            let (part, rest) = data.split_at(taken);
            let mut page = self.page(&above, number)?;
            page[place..place + taken].copy_from_slice(part);
            above.pages.insert(number, page);
            data = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    fn bytes(file: &dyn StorageBackend) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.len().expect("memory")).expect("it is short")];
        file.read(0, &mut bytes).expect("memory");
        bytes
    }

    #[test]
    fn what_is_written_is_read_again_as_from_a_file() {
        let beneath = InMemoryBackend::new();
        beneath.set_len(10_000).expect("memory");
        beneath.write(0, &[1; 10_000]).expect("memory");
        let file = InMemoryBackend::new();
        file.set_len(10_000).expect("memory");
        file.write(0, &[1; 10_000]).expect("memory");
        let overlay = Overlay::over(Box::new(beneath)).expect("memory");

        let mut random = fastrand::Rng::with_seed(7);
        for step in 0..2000 {
            if random.u8(..) < 16 {
                let length = random.u64(1..20_000);
                overlay.set_len(length).expect("memory");
                file.set_len(length).expect("memory");
            } else {
                let length = file.len().expect("memory");
                let offset = random.u64(..length);
                let most = usize::try_from(length - offset).expect("it is short").min(9000);
                let data = vec![random.u8(..); random.usize(..=most)];
                overlay.write(offset, &data).expect("memory");
                file.write(offset, &data).expect("memory");
            }
            assert!(bytes(&overlay) == bytes(&file), "they differ after step {step}");
        }
        assert!(bytes(&*overlay.beneath) == [1; 10_000], "nothing reached the file beneath");
    }
}
