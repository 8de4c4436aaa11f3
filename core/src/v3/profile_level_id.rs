//! H.264's `profile-level-id`: three bytes that name a profile and a level (RFC 6184 section 8.1).

use std::cmp::Ordering;

use super::rtp::CodecParameters;

/// A profile and a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProfileLevelId {
    profile: Profile,
    level: Level,
}

/// The profiles that WebRTC tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    PredictiveHigh444,
}

/// `level_idc`, ten times the level; or 1b, which has that of 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    B1,
    Idc(u8),
}

impl Ord for Level {
    /// 1b is between 1 and 1.1 (H.264 table A-1).
    fn cmp(&self, other: &Self) -> Ordering {
        let twice = |level: &Self| match level {
            Self::B1 => 21,
            Self::Idc(idc) => u16::from(*idc) * 2,
        };
        twice(self).cmp(&twice(other))
    }
}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Every `level_idc` of H.264 table A-1 up to 5.2.
const LEVELS: [u8; 16] = [10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52];

/// `constraint_set3_flag`, which tells 1b from 1.1 (H.264 section A.3.4.1).
const CONSTRAINT_SET_3: u8 = 0x10;

/// What is meant where nothing is said. RFC 6184 section 8.1 has baseline at level 1; WebRTC has always taken this.
const DEFAULT: ProfileLevelId = ProfileLevelId { profile: Profile::ConstrainedBaseline, level: Level::Idc(31) };

impl ProfileLevelId {
    /// That of a codec's parameters. None if it cannot be read.
    fn of(parameters: &CodecParameters) -> Option<Self> {
        match parameters.get("profile-level-id") {
            None => Some(DEFAULT),
            Some(value) if value == "" || value == 0 => Some(DEFAULT),
            Some(value) => Self::parse(value.as_str()?),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 6 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let [_, profile_idc, profile_iop, level_idc] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        let level = match level_idc {
            11 if profile_iop & CONSTRAINT_SET_3 != 0 => Level::B1,
            idc if LEVELS.contains(&idc) => Level::Idc(idc),
            _ => return None,
        };
        Some(Self { profile: Profile::of(profile_idc, profile_iop)?, level })
    }

    /// None for level 1b in a profile that has no such level.
    fn to_text(self) -> Option<String> {
        match self.level {
            Level::Idc(idc) => {
                let profile = match self.profile {
                    Profile::ConstrainedBaseline => "42e0",
                    Profile::Baseline => "4200",
                    Profile::Main => "4d00",
                    Profile::ConstrainedHigh => "640c",
                    Profile::High => "6400",
                    Profile::PredictiveHigh444 => "f400",
                };
                Some(format!("{profile}{idc:02x}"))
            }
            Level::B1 => match self.profile {
                Profile::ConstrainedBaseline => Some("42f00b".to_owned()),
                Profile::Baseline => Some("42100b".to_owned()),
                Profile::Main => Some("4d100b".to_owned()),
                Profile::ConstrainedHigh | Profile::High | Profile::PredictiveHigh444 => None,
            },
        }
    }
}

impl Profile {
    /// RFC 6184 section 8.1, table 5: `profile_idc`, and which bits of `profile_iop` must be set or clear.
    const fn of(idc: u8, iop: u8) -> Option<Self> {
        match (idc, iop) {
            (0x42, iop) if iop & 0x4f == 0x40 => Some(Self::ConstrainedBaseline),
            (0x4d, iop) if iop & 0x8f == 0x80 => Some(Self::ConstrainedBaseline),
            (0x58, iop) if iop & 0xcf == 0xc0 => Some(Self::ConstrainedBaseline),
            (0x42, iop) if iop & 0x4f == 0 => Some(Self::Baseline),
            (0x58, iop) if iop & 0xcf == 0x80 => Some(Self::Baseline),
            (0x4d, iop) if iop & 0xaf == 0 => Some(Self::Main),
            (0x64, 0x00) => Some(Self::High),
            (0x64, 0x0c) => Some(Self::ConstrainedHigh),
            (0xf4, 0x00) => Some(Self::PredictiveHigh444),
            _ => None,
        }
    }
}

/// What two sides with the same profile settle on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    /// This `profile-level-id`.
    Id(String),
    /// None is said: neither side says one, or there is no way to write it.
    Nothing,
}

/// What comes of a side that answers and one that offers: the answering side's level if both take streams of another level
/// than they send (`level-asymmetry-allowed`), else the lower one (RFC 6184 section 8.2.2). None if the profiles differ.
pub(crate) fn agree(answering: &CodecParameters, offering: &CodecParameters) -> Option<Settled> {
    let (ours, theirs) = (ProfileLevelId::of(answering)?, ProfileLevelId::of(offering)?);
    if ours.profile != theirs.profile {
        return None;
    }
    let says = |parameters: &CodecParameters| {
        parameters.get("profile-level-id").is_some_and(|value| *value != "" && *value != 0)
    };
    if !says(answering) && !says(offering) {
        return Some(Settled::Nothing);
    }
    let level = match level_asymmetry_allowed(answering) && level_asymmetry_allowed(offering) {
        true => ours.level,
        false => ours.level.min(theirs.level),
    };
    let agreed = ProfileLevelId { level, ..ours }.to_text();
    Some(agreed.map_or(Settled::Nothing, Settled::Id))
}

fn level_asymmetry_allowed(parameters: &CodecParameters) -> bool {
    parameters.get("level-asymmetry-allowed").is_some_and(|value| *value == 1 || *value == "1" || *value == 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(id: &str, asymmetry: bool) -> CodecParameters {
        let parameters = CodecParameters::default().with_text("profile-level-id", id);
        if asymmetry { parameters.with_number("level-asymmetry-allowed", 1) } else { parameters }
    }

    fn agreed(ours: &str, theirs: &str, asymmetry: bool) -> Option<String> {
        match agree(&parameters(ours, asymmetry), &parameters(theirs, asymmetry))? {
            Settled::Id(id) => Some(id),
            Settled::Nothing => None,
        }
    }

    /// RFC 6184 section 8.1, table 5, with bits that do not matter set and clear.
    #[test]
    fn each_way_to_write_a_profile_is_that_profile() {
        for (written, canonical) in [
            ("42e01f", "42e01f"),
            ("42c01f", "42e01f"),
            ("4d801f", "42e01f"),
            ("58f01f", "42e01f"),
            ("42001f", "42001f"),
            ("42a01f", "42001f"),
            ("58801f", "42001f"),
            ("4d001f", "4d001f"),
            ("4d401f", "4d001f"),
            ("640c28", "640c28"),
            ("640028", "640028"),
            ("f40034", "f40034"),
            ("42E01F", "42e01f"),
        ] {
            assert_eq!(agreed(written, written, true).as_deref(), Some(canonical), "{written}");
        }
    }

    #[test]
    fn what_cannot_be_read_matches_nothing_not_even_itself() {
        for unreadable in ["", "42e0", "42e01f0", "42e01g", "000000", "42e00e", "42e11f", "64081f", "7a001f", "+2e01f"]
        {
            let expected = unreadable.is_empty().then(|| "42e01f".to_owned());
            let said = parameters(unreadable, true);
            assert_eq!(agree(&said, &said).is_some(), expected.is_some(), "{unreadable}");
            assert_eq!(agreed(unreadable, "42e01f", true), expected, "{unreadable}");
        }
        let number = CodecParameters::default().with_number("profile-level-id", 42);
        assert_eq!(agree(&number, &number), None);
    }

    #[test]
    fn nothing_said_is_constrained_baseline_of_level_3_1() {
        let nothing = CodecParameters::default();
        assert_eq!(agree(&nothing, &nothing), Some(Settled::Nothing));
        assert_eq!(agree(&nothing, &parameters("42e034", false)), Some(Settled::Id("42e01f".to_owned())));
        assert_eq!(agree(&nothing, &parameters("640034", false)), None);
    }

    #[test]
    fn the_level_is_the_lower_one_unless_both_allow_asymmetry() {
        assert_eq!(agreed("42e01f", "42e034", true).as_deref(), Some("42e01f"));
        assert_eq!(agreed("42e034", "42e01f", true).as_deref(), Some("42e034"));
        assert_eq!(agreed("42e034", "42e01f", false).as_deref(), Some("42e01f"));
        let one_side = agree(&parameters("42e034", true), &parameters("42e01f", false));
        assert_eq!(one_side, Some(Settled::Id("42e01f".to_owned())));
    }

    /// H.264 section A.3.4.1 and table A-1.
    #[test]
    fn level_1b_is_between_1_and_1_1_and_not_in_every_profile() {
        assert_eq!(agreed("42f00b", "42e00a", false).as_deref(), Some("42e00a"));
        assert_eq!(agreed("42f00b", "42e00b", false).as_deref(), Some("42f00b"));
        assert_eq!(agreed("42100b", "42000c", false).as_deref(), Some("42100b"));
        assert_eq!(agreed("4d100b", "4d000c", false).as_deref(), Some("4d100b"));
    }
}
