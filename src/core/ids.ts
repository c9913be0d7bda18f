// Ids that observer gives to its own rows.

// Crockford's base32 without i, l, o, u: readable aloud, safe in paths, URLs and shells.
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH = 13;

/** A new id: 65 random bits. Random from the first character on, so that a short prefix names it. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(LENGTH));
  let id = "";
  for (const byte of bytes) id += ALPHABET[byte & 31];
  return id;
}

/** What a checkpoint, interruption or reaction id may look like; anything else is refused before it is used. */
export const ID_PATTERN = /^[a-z0-9-]{1,64}$/;
