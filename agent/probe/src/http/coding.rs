//! Content codings: `gzip`, `deflate`, `br`, `zstd`, decoded within hard bounds.
//!
//! Limits: 1 MiB of output, then the decoding stops; [`DECODES_MAX`] decodings at once; the memory of a decoding is its window, at most
//! 16 MiB (`br`), [`ZSTD_WINDOW_MAX`] (`zstd`), 32 KiB (`gzip`, `deflate`). A body of several codings, or of one that is not known, is
//! left as it came, as browsers do.

use std::io::{self, Read};

use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use tokio::sync::Semaphore;

use crate::BODY_BYTES_MAX;
use crate::evidence::extend;

/// Decodings at once, of all runs: what bounds the memory of windows.
const DECODES_MAX: usize = 2;
/// Largest window of a zstd frame, as RFC 8878 (section 3.1.1.1.2) recommends to support.
const ZSTD_WINDOW_MAX: u64 = 8 << 20;
/// Most frames of a zstd body. Each makes the decoder start over, however little is in it.
const ZSTD_FRAMES_MAX: usize = 64;
/// Most members of a gzip body. Each makes the decoder start over as well.
const GZIP_MEMBERS_MAX: usize = 64;
/// Decoded bytes after which other runs have their turn.
const BURST_BYTES: usize = 64 << 10;

static DECODES: Semaphore = Semaphore::const_new(DECODES_MAX);

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) body: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) truncated: bool,
}

impl Coding {
    /// The coding that the headers name.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(CONTENT_ENCODING).iter();
        let name = lines.next()?.to_str().ok()?.trim();
        if lines.next().is_some() {
            return None;
        }
        [
            ("gzip", Self::Gzip),
            ("x-gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("br", Self::Brotli),
            ("zstd", Self::Zstd),
        ]
        .into_iter()
        .find_map(|(known, coding)| known.eq_ignore_ascii_case(name).then_some(coding))
    }

    /// Its name in `Content-Encoding`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn decoder(self, coded: &[u8]) -> Box<dyn Read + Send + '_> {
        match self {
            Self::Gzip => Box::new(Gzip::new(coded)),
            // By the standard it is zlib's format; some servers leave that out.
            Self::Deflate if is_zlib(coded) => Box::new(flate2::bufread::ZlibDecoder::new(coded)),
            Self::Deflate => Box::new(flate2::bufread::DeflateDecoder::new(coded)),
            Self::Brotli => Box::new(brotli_decompressor::Decompressor::new(coded, 4096)),
            Self::Zstd => Box::new(Zstd::new(coded)),
        }
    }
}

fn is_zlib(coded: &[u8]) -> bool {
    matches!(coded, [first, second, ..] if first & 15 == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0)
}

/// Decodes a body that is all there, or the beginning of one that is `cut`. What comes out is kept if it has at most `keep` bytes.
///
/// # Errors
/// Why the body is not of its coding.
pub(super) async fn decode(coding: Coding, coded: Vec<u8>, cut: bool, keep: usize) -> Result<Decoded, String> {
    // Without a body there is nothing to decode: an answer to HEAD, a 304.
    if coded.is_empty() {
        return Ok(Decoded { body: Vec::new(), bytes: 0, truncated: cut });
    }
    let _place = DECODES.acquire().await.map_err(|error| error.to_string())?;
    let mut decoder = coding.decoder(&coded);
    let mut decoded = Decoded { body: Vec::new(), bytes: 0, truncated: cut };
    let mut block = vec![0; 8 << 10];
    let mut burst = 0;
    loop {
        let read = match decoder.read(&mut block) {
            Ok(0) => return Ok(decoded),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                tokio::task::yield_now().await;
                continue;
            }
            // Its end is missing because nobody read it.
            Err(_) if cut => return Ok(decoded),
            Err(error) => return Err(error.to_string()),
        };
        let room = BODY_BYTES_MAX - decoded.bytes as usize;
        let taken = read.min(room);
        decoded.bytes += taken as u64;
        if decoded.bytes as usize > keep {
            decoded.body = Vec::new();
        } else {
            extend(&mut decoded.body, &block[..taken]);
        }
        if read > room {
            decoded.truncated = true;
            return Ok(decoded);
        }
        burst += read;
        if burst >= BURST_BYTES {
            burst = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// The members of a gzip body, one after the other.
struct Gzip<'a> {
    member: flate2::bufread::GzDecoder<&'a [u8]>,
    members: usize,
}

impl<'a> Gzip<'a> {
    fn new(coded: &'a [u8]) -> Self {
        Self { member: flate2::bufread::GzDecoder::new(coded), members: 1 }
    }
}

impl Read for Gzip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.member.read(buffer)?;
            let rest = *self.member.get_ref();
            if read > 0 || rest.is_empty() {
                return Ok(read);
            }
            self.members += 1;
            if self.members > GZIP_MEMBERS_MAX {
                return Err(io::Error::other(format!("it has more than {GZIP_MEMBERS_MAX} members")));
            }
            self.member = flate2::bufread::GzDecoder::new(rest);
        }
    }
}

/// The frames of a zstd body, one after the other. `Interrupted` means: not done yet, let others have their turn.
struct Zstd<'a> {
    decoder: FrameDecoder,
    in_frame: bool,
    rest: &'a [u8],
    frames: usize,
}

impl<'a> Zstd<'a> {
    fn new(coded: &'a [u8]) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_MAX);
        Self { decoder, in_frame: false, rest: coded, frames: 0 }
    }

    /// Begins the next frame, or skips one that holds no content.
    fn begin(&mut self) -> io::Result<()> {
        self.frames += 1;
        if self.frames > ZSTD_FRAMES_MAX {
            return Err(io::Error::other(format!("it has more than {ZSTD_FRAMES_MAX} frames")));
        }
        match self.decoder.init(&mut self.rest) {
            Ok(()) => self.in_frame = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                self.rest = self.rest.get(length as usize..).ok_or(io::ErrorKind::UnexpectedEof)?;
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        Ok(())
    }
}

impl Read for Zstd<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if self.rest.is_empty() {
                    return Ok(0);
                }
                self.begin()?;
                continue;
            }
            // The decoder keeps a window back until the frame ends.
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.decoder.is_finished() {
                self.in_frame = false;
                continue;
            }
            let some = BlockDecodingStrategy::UptoBytes(BURST_BYTES);
            self.decoder.decode_blocks(&mut self.rest, some).map_err(io::Error::other)?;
            if self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }
}
