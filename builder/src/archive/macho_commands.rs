//! The header and the load commands of a Mach-O file, as far as they say what a signer changed. No file
//! access.

use std::ops::Range;

use super::numbers::little as number;

/// 32 and 64 bits, little-endian.
pub(super) const MAGICS: [u32; 2] = [0xfeed_face, 0xfeed_facf];

const SEGMENT: u32 = 0x1;
const SEGMENT_64: u32 = 0x19;
const SYMBOLS: u32 = 0x2;
const DYNAMIC_SYMBOLS: u32 = 0xb;
const CODE_SIGNATURE: u32 = 0x1d;
const DYLD_INFO: u32 = 0x22;
/// Commands that say where a piece of the last segment is, and how long: `linkedit_data_command`, and
/// the encrypted range, which has the same form.
const PIECES: [u32; 11] = [
    0x1e, 0x21, 0x26, 0x29, 0x2b, 0x2c, 0x2e, 0x33, 0x34, 0x36, 0x37,
];
/// Commands that name no place in the file: threads, libraries, versions, the entry point.
const ELSEWHERE: [u32; 29] = [
    0x4, 0x5, 0xc, 0xd, 0xe, 0xf, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x17, 0x18, 0x1a, 0x1b, 0x1c,
    0x1f, 0x20, 0x23, 0x24, 0x25, 0x27, 0x28, 0x2a, 0x2d, 0x2f, 0x30, 0x32,
];
/// Asks the loader to know the command.
const REQUIRED: u32 = 0x8000_0000;
const LINK_EDIT: &[u8] = b"__LINKEDIT\0\0\0\0\0\0";
const EXECUTE: u64 = 4;
/// What a segment's length in memory is rounded up to.
const PAGES: [u64; 2] = [0x1000, 0x4000];
/// Bytes of the command that says where the signature is.
const COMMAND_BYTES: u64 = 16;

/// What was found; all empty where it is not plain.
#[derive(Default)]
pub(super) struct Image {
    /// Places in the first bytes that a signer changes.
    pub(super) apart: Vec<Range<usize>>,
    /// Where the signature is, where everything about it is plain.
    pub(super) signature: Option<Range<u64>>,
    /// Whether a command names one at all.
    pub(super) has_signature: bool,
    /// Whether a signer would find all as expected.
    pub(super) plain: bool,
    /// Where the last segment ends.
    pub(super) end: u64,
    /// Where the table of strings ends.
    pub(super) strings_end: u64,
    /// How many commands there are, and their bytes, without that of the signature.
    count: u64,
    bytes: u64,
}

impl Image {
    /// What stands in the places that a signer changes.
    pub(super) fn values(&self, head: &[u8]) -> Vec<u8> {
        let values = self
            .apart
            .iter()
            .filter_map(|place| head.get(place.clone()));
        values.collect::<Vec<_>>().concat()
    }

    /// What the header would say of the commands without a signature.
    pub(super) fn commands(&self) -> [u8; 16] {
        (u128::from(self.count) << 64 | u128::from(self.bytes)).to_le_bytes()
    }

    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let wide = match number(head, 0, 4)? {
            0xfeed_facf => true,
            0xfeed_face => false,
            _ => return None,
        };
        let (count, bytes) = (number(head, 16, 4)?, number(head, 20, 4)?);
        let start: usize = if wide { 32 } else { 28 };
        let end = start.checked_add(usize::try_from(bytes).ok()?)?;
        let mut commands = Commands::default();
        let mut at = start;
        for _ in 0..count {
            let rest = head.get(at..end)?;
            let size = usize::try_from(number(rest, 4, 4)?).ok()?;
            let command = rest.get(..size).filter(|command| command.len() >= 8)?;
            commands.add(command, at, wide)?;
            at += size;
        }
        let mut found = Self {
            has_signature: commands.signature.is_some(),
            count,
            bytes,
            ..Self::default()
        };
        if at == end
            && let Some(last) = commands.last.take()
        {
            found.set_apart(&commands, &last);
        }
        Some(found)
    }

    /// Says what a signer changes, if everything is as it should be.
    fn set_apart(&mut self, commands: &Commands, last: &Segment) {
        let end = last.offset.saturating_add(last.size);
        let rounded = |page: &u64| last.size.checked_next_multiple_of(*page) == Some(last.memory);
        let content_end = match &commands.signature {
            Some((place, _)) => place.start,
            None => end,
        };
        let is_last = commands.segments_end <= last.offset && last.offset <= content_end;
        let inside = commands.pieces_end <= content_end && !commands.unknown;
        if !(is_last && inside && PAGES.iter().any(rounded)) {
            return;
        }
        let mut apart = vec![16..24, last.memory_at.clone(), last.size_at.clone()];
        if let Some((place, at)) = &commands.signature {
            let fits = place.end == end && place.start < end && place.start.is_multiple_of(16);
            if !fits || !commands.signature_is_last {
                return;
            }
            self.signature = Some(place.clone());
            self.count -= 1; // it was counted
            self.bytes -= COMMAND_BYTES;
            apart.push(at.clone());
        }
        self.apart = apart;
        self.end = end;
        self.strings_end = commands.strings_end;
        self.plain = true;
    }
}

/// What the commands say, one after the other.
#[derive(Default)]
struct Commands {
    last: Option<Segment>,
    /// Where the other segments end in the file.
    segments_end: u64,
    /// Where all else that a command names ends.
    pieces_end: u64,
    strings_end: u64,
    /// Where the signature is, and where the command is that says so.
    signature: Option<(Range<u64>, Range<usize>)>,
    signature_is_last: bool,
    /// A command that could say anything, or one that should stand once and does not.
    unknown: bool,
}

/// The segment that a signature is in.
struct Segment {
    offset: u64,
    size: u64,
    memory: u64,
    size_at: Range<usize>,
    memory_at: Range<usize>,
}

impl Commands {
    /// Takes the next command; `None` where it is shorter than it must be.
    fn add(&mut self, command: &[u8], at: usize, wide: bool) -> Option<()> {
        let kind = u32::try_from(number(command, 0, 4)?).ok()?;
        // a loader that must know the signature's command is none
        let kind = if kind == CODE_SIGNATURE | REQUIRED {
            kind
        } else {
            kind & !REQUIRED
        };
        self.signature_is_last = kind == CODE_SIGNATURE;
        match kind {
            SEGMENT | SEGMENT_64 => self.segment(command, at, wide, kind)?,
            CODE_SIGNATURE => {
                let (start, size) = (number(command, 8, 4)?, number(command, 12, 4)?);
                let place = at..at.checked_add(command.len())?;
                self.unknown |= self.signature.is_some() || place.len() as u64 != COMMAND_BYTES;
                self.signature = Some((start..start + size, place));
            }
            SYMBOLS => {
                self.piece(command, 8, if wide { 16 } else { 12 })?;
                self.piece(command, 16, 1)?;
                self.strings_end = number(command, 16, 4)? + number(command, 20, 4)?;
            }
            DYNAMIC_SYMBOLS => {
                let module = if wide { 56 } else { 52 };
                for (at, each) in [(32, 8), (40, module), (48, 4), (56, 4), (64, 8), (72, 8)] {
                    self.piece(command, at, each)?;
                }
            }
            DYLD_INFO => {
                for at in [8, 16, 24, 32, 40] {
                    self.piece(command, at, 1)?;
                }
            }
            kind if PIECES.contains(&kind) => self.piece(command, 8, 1)?,
            kind => self.unknown |= !ELSEWHERE.contains(&kind),
        }
        Some(())
    }

    /// An offset and a number of items of so many bytes.
    fn piece(&mut self, command: &[u8], at: usize, each: u64) -> Option<()> {
        let end = number(command, at, 4)? + number(command, at + 4, 4)? * each;
        self.pieces_end = self.pieces_end.max(end);
        Some(())
    }

    fn segment(&mut self, command: &[u8], at: usize, wide: bool, kind: u32) -> Option<()> {
        self.unknown |= wide != (kind == SEGMENT_64);
        let word = if wide { 8 } else { 4 };
        // name; then address and length in memory, offset and length in the file
        let field = |index: usize| 24 + index * word..24 + (index + 1) * word;
        let value = |index: usize| number(command, field(index).start, word);
        let (memory, offset, size) = (value(1)?, value(2)?, value(3)?);
        let start = number(command, field(4).start + 4, 4)?;
        let sections = number(command, field(4).start + 8, 4)?;
        let place = |index: usize| at + field(index).start..at + field(index).end;
        if command.get(8..24)? != LINK_EDIT {
            self.segments_end = self.segments_end.max(offset.saturating_add(size));
            return Some(());
        }
        self.unknown |= self.last.is_some() || start & EXECUTE != 0 || sections != 0;
        self.last = Some(Segment {
            offset,
            size,
            memory,
            size_at: place(3),
            memory_at: place(1),
        });
        Some(())
    }
}
