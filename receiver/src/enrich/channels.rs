//! Names of channels. Memory: 16 bytes for each number up to the largest, at most 1 MiB, and the names.

/// Names by channel.
#[derive(Clone, Debug, Default)]
pub struct ChannelNames {
    names: Vec<Box<[u8]>>,
}

impl ChannelNames {
    /// Whether no channel has a name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// A channel's name; `None` if it has none, or an empty one.
    #[inline]
    pub fn get(&self, channel: u16) -> Option<&[u8]> {
        let name = self.names.get(usize::from(channel))?;
        (!name.is_empty()).then_some(name)
    }
}

impl<N: AsRef<[u8]>> FromIterator<(u16, N)> for ChannelNames {
    fn from_iter<I: IntoIterator<Item = (u16, N)>>(channels: I) -> ChannelNames {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for (channel, name) in channels {
            let channel = usize::from(channel);
            if names.len() <= channel {
                names.resize(channel + 1, Box::default());
            }
            if let Some(place) = names.get_mut(channel) {
                *place = name.as_ref().into();
            }
        }
        ChannelNames { names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_their_newest_name() {
        assert!(ChannelNames::default().is_empty());
        let names: ChannelNames =
            [(7, "seven"), (0, "none"), (u16::MAX, "last"), (9, ""), (7, "new")].into_iter().collect();
        assert_eq!(names.get(7), Some(&b"new"[..]));
        assert_eq!(names.get(0), Some(&b"none"[..]));
        assert_eq!(names.get(u16::MAX), Some(&b"last"[..]));
        assert_eq!((names.get(8), names.get(9)), (None, None));
    }
}
