//! A disk in memory that can be crashed, filled and damaged at a chosen call.
//!
//! It keeps apart what was synced and what was only written: after a crash, each sector that was not synced may
//! be there or not, and so may each change of a file's length. A disk that has crashed answers nothing but errors,
//! so its image is that of the moment, however long the store goes on trying.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;
use waypost_store::Files;

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// One of the store's two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Database,
    Journal,
}

/// What changes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Sync,
    Write,
    SetLen,
}

/// What goes wrong, and when: at the call of this kind that has number `at`, from 0, over both files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub call: Call,
    pub at: usize,
    pub moment: Moment,
}

/// When in that call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The disk is gone before it has done anything.
    Before,
    /// It is gone in the middle: some of a write's sectors, or of those to be synced, made it.
    During,
    /// It has done everything, but could not say so.
    After,
    /// Only this call fails; what a sync should have written is lost, as Linux marks the pages clean.
    Once,
}

/// How many calls of each kind there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub syncs: usize,
    pub writes: usize,
    pub set_lens: usize,
}

/// Two files on one disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: [Image; 2],
    counts: Counts,
    fault: Option<Fault>,
    is_crashed: bool,
    capacity: Option<u64>,
}

/// One file: what a reader sees, what a crash leaves for sure, and the changes in between.
#[derive(Clone, Default)]
struct Image {
    current: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

/// One of the two files, as redb and the journal take it.
struct SimulatedFile {
    disk: Disk,
    name: Name,
}

impl Disk {
    /// The two files, to open a store on.
    pub fn files(&self) -> Files {
        let file = |name| Box::new(SimulatedFile { disk: self.clone(), name });
        Files { database: file(Name::Database), journal: file(Name::Journal) }
    }

    /// A fault that is to come; the calls are counted from here on.
    pub fn set_fault(&self, fault: Fault) {
        let mut state = self.state();
        state.counts = Counts::default();
        state.fault = Some(fault);
    }

    /// Crashes it at once.
    pub fn crash(&self) {
        self.state().is_crashed = true;
    }

    pub fn is_crashed(&self) -> bool {
        self.state().is_crashed
    }

    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// How many bytes both files may have together; `None` is no limit.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.state().capacity = capacity;
    }

    /// How many bytes both files have together.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// What a reader finds in a file.
    pub fn bytes(&self, name: Name) -> Vec<u8> {
        self.state().files[name as usize].current.clone()
    }

    /// Puts other content into a file, synced.
    pub fn set_bytes(&self, name: Name, bytes: Vec<u8>) {
        self.state().files[name as usize] = Image::of(bytes);
    }

    /// Turns a bit of a file, on the medium itself.
    pub fn flip(&self, name: Name, bit: usize) {
        let mut bytes = self.bytes(name);
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.set_bytes(name, bytes);
    }

    /// A disk with what this one would have after a crash now; another `seed` is another outcome.
    ///
    /// Seed 0 keeps nothing that was not synced, seed 1 everything, the others some of it.
    pub fn after_crash(&self, seed: u64) -> Disk {
        let mut rng = fastrand::Rng::with_seed(seed);
        let survival = match seed {
            0 => 0.0,
            1 => 1.0,
            _ => [0.1, 0.5, 0.9][rng.usize(..3)],
        };
        Disk::with(self.state().files.each_ref().map(|image| Image::of(image.surviving(survival, &mut rng))))
    }

    /// Another disk with the same content, all of it synced.
    pub fn copy(&self) -> Disk {
        Disk::with(self.state().files.each_ref().map(|image| Image::of(image.current.clone())))
    }

    fn with(files: [Image; 2]) -> Disk {
        Disk { state: Arc::new(Mutex::new(State { files, ..State::default() })) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics with the lock held")
    }
}

impl State {
    fn used(&self) -> u64 {
        self.files.iter().map(|image| image.current.len() as u64).sum()
    }

    /// Counts a call; what is to go wrong with it.
    fn begin(&mut self, call: Call) -> io::Result<Option<Moment>> {
        if self.is_crashed {
            return Err(gone());
        }
        let count = match call {
            Call::Sync => &mut self.counts.syncs,
            Call::Write => &mut self.counts.writes,
            Call::SetLen => &mut self.counts.set_lens,
        };
        let at = *count;
        *count += 1;
        let fault = self.fault.filter(|fault| fault.call == call && fault.at == at);
        self.is_crashed = fault.is_some_and(|fault| fault.moment != Moment::Once);
        Ok(fault.map(|fault| fault.moment))
    }

    /// Refuses to let a file become `length` long if there is no room for it.
    fn check_room(&self, name: Name, length: usize) -> io::Result<()> {
        let grown = length.saturating_sub(self.files[name as usize].current.len()) as u64;
        let is_full = |capacity| grown > 0 && self.used() + grown > capacity;
        if self.capacity.is_some_and(is_full) { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Image {
    fn of(bytes: Vec<u8>) -> Image {
        Image { synced: bytes.clone(), current: bytes, pending: Vec::new() }
    }

    fn set_len(&mut self, length: usize) {
        self.current.resize(length, 0);
        self.pending.push(Change::Length(length));
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if end > self.current.len() {
            self.set_len(end);
        }
        self.current[offset..end].copy_from_slice(data);
        self.pending.push(Change::Write { offset, data: data.to_vec() });
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.synced);
        }
    }

    /// What a crash leaves: all that was synced, and each sector written since with the probability `survival`.
    ///
    /// Of the changes of length, the first ones: file systems keep them in order. What was written beyond a
    /// length that is lost is lost as well.
    fn surviving(&self, survival: f64, rng: &mut fastrand::Rng) -> Vec<u8> {
        let lengths = self.pending.iter().filter(|change| matches!(change, Change::Length(_))).count();
        let mut kept_lengths = (0..lengths).take_while(|_| rng.f64() < survival).count();
        let mut bytes = self.synced.clone();
        for change in &self.pending {
            match change {
                Change::Length(_) if kept_lengths > 0 => {
                    kept_lengths -= 1;
                    change.apply(&mut bytes);
                }
                Change::Length(_) => {}
                Change::Write { .. } => {
                    change
                        .sectors()
                        .filter(|_| rng.f64() < survival)
                        .for_each(|sector| sector.apply(&mut bytes));
                }
            }
        }
        bytes
    }
}

impl Change {
    /// Does it to `bytes`, as far as they reach.
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Length(length) => bytes.resize(*length, 0),
            Change::Write { offset, data } => {
                let end = (offset + data.len()).min(bytes.len());
                if *offset < end {
                    bytes[*offset..end].copy_from_slice(&data[..end - offset]);
                }
            }
        }
    }

    /// A write, cut at the sectors' borders.
    fn sectors(&self) -> impl Iterator<Item = Change> {
        let (mut offset, mut rest) = match self {
            Change::Write { offset, data } => (*offset, data.as_slice()),
            Change::Length(_) => (0, &[][..]),
        };
        std::iter::from_fn(move || {
            let (data, others) = rest.split_at(rest.len().min(SECTOR - offset % SECTOR));
            let sector = Change::Write { offset, data: data.to_vec() };
            (offset, rest) = (offset + data.len(), others);
            (!data.is_empty()).then_some(sector)
        })
    }
}

impl SimulatedFile {
    /// Does `change` unless a fault forbids it, or does it by half if the fault says so.
    fn perform(&self, call: Call, change: impl FnOnce(&mut Image, Option<Moment>)) -> io::Result<()> {
        let mut state = self.disk.state();
        let moment = state.begin(call)?;
        change(&mut state.files[self.name as usize], moment);
        if moment.is_some() { Err(gone()) } else { Ok(()) }
    }

    fn live(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.is_crashed { Err(gone()) } else { Ok(state) }
    }
}

impl StorageBackend for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.live()?.files[self.name as usize].current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.live()?;
        let start = to_usize(offset);
        let found = state.files[self.name as usize].current.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = to_usize(length);
        self.live()?.check_room(self.name, length)?;
        self.perform(Call::SetLen, |image, moment| match moment {
            None | Some(Moment::After) => image.set_len(length),
            Some(Moment::During) => image.set_len(length.midpoint(image.current.len())),
            Some(Moment::Before | Moment::Once) => {}
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.perform(Call::Sync, |image, moment| match moment {
            None | Some(Moment::After) => image.sync(),
            Some(Moment::During) => {
                let mut rng = fastrand::Rng::with_seed(image.pending.len() as u64);
                image.synced = image.surviving(0.5, &mut rng);
            }
            Some(Moment::Once) => image.pending.clear(),
            Some(Moment::Before) => {}
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = to_usize(offset);
        self.live()?.check_room(self.name, offset + data.len())?;
        self.perform(Call::Write, |image, moment| match moment {
            None | Some(Moment::After) => image.write(offset, data),
            Some(Moment::During) => image.write(offset, &data[..data.len() / 2]),
            Some(Moment::Before | Moment::Once) => {}
        })
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let lengths = state.files.each_ref().map(|image| image.current.len());
        write!(f, "Disk({lengths:?}, {:?}, crashed: {})", state.counts, state.is_crashed)
    }
}

impl fmt::Debug for SimulatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {:?}", self.name, self.disk)
    }
}

fn gone() -> io::Error {
    io::Error::other("the simulated disk is gone")
}

fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).expect("a simulated file is small")
}

/// A fault injector that does nothing would make every other test of this crate pass.
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const OLD: u8 = 1;
    const NEW: u8 = 2;

    /// A synced file of four sectors, and its handle.
    fn synced() -> (Disk, SimulatedFile) {
        let disk = Disk::default();
        let file = SimulatedFile { disk: disk.clone(), name: Name::Journal };
        file.set_len(2048).unwrap();
        file.write(0, &[OLD; 2048]).unwrap();
        file.sync_data().unwrap();
        (disk, file)
    }

    fn journal(disk: &Disk) -> Vec<u8> {
        disk.bytes(Name::Journal)
    }

    fn fault(disk: &Disk, call: Call, moment: Moment) {
        disk.set_fault(Fault { call, at: 0, moment });
    }

    #[test]
    fn what_is_synced_survives_every_crash() {
        let (disk, _file) = synced();
        for seed in 0..20 {
            assert_eq!(journal(&disk.after_crash(seed)), [OLD; 2048], "seed {seed}");
        }
    }

    #[test]
    fn what_is_written_is_read_before_it_is_synced() {
        let (_disk, file) = synced();
        file.write(100, &[NEW; 10]).unwrap();
        let mut found = [0; 12];
        file.read(99, &mut found).unwrap();
        assert_eq!(found, [OLD, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, OLD]);
    }

    #[test]
    fn what_is_not_synced_survives_sector_by_sector() {
        let (disk, file) = synced();
        file.write(256, &[NEW; 1024]).unwrap();
        assert_eq!(journal(&disk.after_crash(0)), [OLD; 2048], "nothing");
        assert_eq!(journal(&disk.after_crash(1))[256..1280], [NEW; 1024], "everything");
        let mut outcomes = BTreeSet::new();
        for seed in 2..200 {
            let bytes = journal(&disk.after_crash(seed));
            let (first, second, third) = (&bytes[256..512], &bytes[512..1024], &bytes[1024..1280]);
            for sector in [first, second, third] {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is not torn");
            }
            assert!(
                bytes[..256].iter().chain(&bytes[1280..]).all(|byte| *byte == OLD),
                "the rest is as it was"
            );
            outcomes.insert((first[0], second[0], third[0]));
        }
        assert_eq!(outcomes.len(), 8, "each sector for itself: {outcomes:?}");
    }

    #[test]
    fn a_later_write_may_survive_an_earlier_one() {
        let (disk, file) = synced();
        file.write(0, &[NEW; 512]).unwrap();
        file.write(1024, &[NEW; 512]).unwrap();
        let is_reordered = |seed| {
            let bytes = journal(&disk.after_crash(seed));
            bytes[0] == OLD && bytes[1024] == NEW
        };
        assert!((2..100).any(is_reordered));
    }

    #[test]
    fn a_length_that_is_not_synced_may_be_lost_and_what_is_beyond_it_with_it() {
        let (disk, file) = synced();
        file.set_len(4096).unwrap();
        file.write(3000, &[NEW; 1096]).unwrap();
        let lengths: BTreeSet<usize> = (0..50).map(|seed| journal(&disk.after_crash(seed)).len()).collect();
        assert_eq!(lengths, [2048, 4096].into());
    }

    #[test]
    fn a_file_that_was_cut_may_be_long_again() {
        let (disk, file) = synced();
        file.set_len(512).unwrap();
        assert_eq!(journal(&disk.after_crash(0)).len(), 2048);
        assert_eq!(journal(&disk.after_crash(1)).len(), 512);
    }

    #[test]
    fn a_crash_before_a_sync_loses_what_one_after_it_keeps() {
        for (moment, kept) in [(Moment::Before, OLD), (Moment::After, NEW)] {
            let (disk, file) = synced();
            file.write(0, &[NEW; 2048]).unwrap();
            fault(&disk, Call::Sync, moment);
            file.sync_data().unwrap_err();
            assert_eq!(journal(&disk.after_crash(0)), [kept; 2048], "{moment:?}");
        }
    }

    #[test]
    fn a_crash_during_a_sync_has_some_sectors_for_sure() {
        let (disk, file) = synced();
        file.set_len(65536).unwrap();
        file.sync_data().unwrap();
        file.write(0, &[NEW; 65536]).unwrap();
        fault(&disk, Call::Sync, Moment::During);
        file.sync_data().unwrap_err();
        let kept = journal(&disk.after_crash(0)).iter().filter(|byte| **byte == NEW).count();
        assert!((512..65536).contains(&kept), "{kept}");
    }

    #[test]
    fn a_crash_during_a_write_has_its_first_half_at_most() {
        let (disk, file) = synced();
        fault(&disk, Call::Write, Moment::During);
        file.write(0, &[NEW; 2048]).unwrap_err();
        let bytes = journal(&disk.after_crash(1));
        assert_eq!((bytes[0], bytes[1023], bytes[1024]), (NEW, NEW, OLD));
    }

    #[test]
    fn a_disk_that_crashed_answers_nothing_any_more() {
        let (disk, file) = synced();
        fault(&disk, Call::Write, Moment::Before);
        file.write(0, &[NEW]).unwrap_err();
        assert!(disk.is_crashed());
        file.write(0, &[NEW]).unwrap_err();
        file.sync_data().unwrap_err();
        file.set_len(0).unwrap_err();
        file.len().unwrap_err();
        file.read(0, &mut [0]).unwrap_err();
        assert_eq!(journal(&disk.after_crash(1)), [OLD; 2048]);
    }

    #[test]
    fn the_fault_comes_at_the_call_with_its_number() {
        let (disk, file) = synced();
        disk.set_fault(Fault { call: Call::Sync, at: 2, moment: Moment::Before });
        file.sync_data().unwrap();
        file.write(0, &[NEW]).unwrap();
        file.sync_data().unwrap();
        file.set_len(5).unwrap();
        assert_eq!(disk.counts(), Counts { syncs: 2, writes: 1, set_lens: 1 });
        file.sync_data().unwrap_err();
    }

    #[test]
    fn a_sync_that_fails_once_has_lost_its_writes_for_good() {
        let (disk, file) = synced();
        file.write(0, &[NEW; 2048]).unwrap();
        fault(&disk, Call::Sync, Moment::Once);
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        assert!(!disk.is_crashed());
        assert_eq!(journal(&disk)[0], NEW, "the page cache has it");
        assert_eq!(journal(&disk.after_crash(1)), [OLD; 2048], "the disk has not");
    }

    #[test]
    fn a_full_disk_refuses_to_grow_and_goes_on_with_what_it_has() {
        let (disk, file) = synced();
        disk.set_capacity(Some(2100));
        for result in [file.set_len(2101), file.write(2048, &[NEW; 100])] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::StorageFull);
        }
        file.write(0, &[NEW; 2048]).unwrap();
        file.set_len(2100).unwrap();
        disk.set_capacity(None);
        file.set_len(4096).unwrap();
    }

    #[test]
    fn a_flipped_bit_is_one_bit_and_survives() {
        let (disk, _file) = synced();
        disk.flip(Name::Journal, 8 * 700 + 3);
        let bytes = journal(&disk.after_crash(0));
        let changed: Vec<_> = (0..2048).filter(|at| bytes[*at] != OLD).collect();
        assert_eq!((changed.as_slice(), bytes[700]), ([700].as_slice(), OLD ^ 8));
    }

    #[test]
    fn the_files_are_two() {
        let (disk, _file) = synced();
        let database = SimulatedFile { disk: disk.clone(), name: Name::Database };
        database.write(0, &[NEW; 10]).unwrap();
        assert_eq!((disk.bytes(Name::Database).len(), journal(&disk).len(), disk.used()), (10, 2048, 2058));
    }
}
