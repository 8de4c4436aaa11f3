//! What the game shows: a square that bounces over waves, and the number of the frame in white and black blocks.

use openh264::formats::YUVSlices;

const SQUARE: usize = 96;

/// I420.
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
}

impl Picture {
    /// Frame `number` of the game; width and height are even, and larger than the square.
    pub(crate) fn draw(width: usize, height: usize, number: u64) -> Self {
        let (left, top) = (bounce(number * 5, width - SQUARE), bounce(number * 3, height - SQUARE));
        let mut picture = Self { width, height, y: Vec::new(), u: Vec::new(), v: Vec::new() };
        for y in 0..height {
            for x in 0..width {
                let in_square = (left..left + SQUARE).contains(&x) && (top..top + SQUARE).contains(&y);
                // Ten blocks along the bottom edge: white, eight bits with the highest first, black.
                let block = (y >= height - height / 9).then(|| match x * 10 / width {
                    0 => true,
                    block @ 1..=8 => number >> (8 - block) & 1 == 1,
                    _ => false,
                });
                let (luma, blue, red) = match (block, in_square) {
                    (Some(true), _) => (235, 128, 128),
                    (Some(false), _) => (16, 128, 128),
                    (None, true) => (210, 60, 150),
                    (None, false) => {
                        let (across, down) = ((x * 60 / width) as u8, (y * 60 / height) as u8);
                        let wave = bounce((x + 2 * y) as u64 + 2 * number, 100) as u8;
                        (60 + wave, 170 - across, 90 + down)
                    }
                };
                picture.y.push(luma);
                if x % 2 == 0 && y % 2 == 0 {
                    picture.u.push(blue);
                    picture.v.push(red);
                }
            }
        }
        picture
    }

    /// The same in half the size; width and height are divisible by 4.
    pub(crate) fn halved(&self) -> Self {
        let Self { width, height, y, u, v } = self;
        let (y, u, v) = (halved(y, *width), halved(u, width / 2), halved(v, width / 2));
        Self { width: width / 2, height: height / 2, y, u, v }
    }

    /// As the encoder takes it.
    pub(crate) fn as_yuv(&self) -> YUVSlices<'_> {
        let strides = (self.width, self.width / 2, self.width / 2);
        YUVSlices::new((&self.y, &self.u, &self.v), (self.width, self.height), strides)
    }
}

/// Goes from 0 to `end` and back.
fn bounce(way: u64, end: usize) -> usize {
    let at = way as usize % (2 * end);
    at.min(2 * end - at)
}

/// Each sample is the mean of four.
fn halved(plane: &[u8], width: usize) -> Vec<u8> {
    let mean = |above: &[u8], below: &[u8]| {
        (above.iter().chain(below).map(|&sample| u16::from(sample)).sum::<u16>() / 4) as u8
    };
    plane
        .chunks_exact(2 * width)
        .flat_map(|rows| {
            let (above, below) = rows.split_at(width);
            above.chunks_exact(2).zip(below.chunks_exact(2)).map(move |(above, below)| mean(above, below))
        })
        .collect()
}
