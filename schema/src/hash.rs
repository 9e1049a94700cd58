//! How contents are named by their hash, everywhere alike.

use sha2::{Digest, Sha256};

/// `sha256:` and the hash in hexadecimal digits.
pub fn hash_of(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}
