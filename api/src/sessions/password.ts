import { randomBytes, scrypt, timingSafeEqual, type BinaryLike } from 'node:crypto'

// OWASP's least for scrypt: N = 2^17, r = 8, p = 1, 128 MiB, would let ten logins fill a small container; N = 2^14 with p = 5
// is on the same list of equals at 16 MiB.
const COST = { N: 2 ** 14, r: 8, p: 5 }
const KEY_BYTES = 32
const SALT_BYTES = 16
const NAME = 'scrypt'

const derive = (password: BinaryLike, salt: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    scrypt(password, salt, KEY_BYTES, COST, (error, key) => {
      if (error) reject(error)
      else resolve(key)
    })
  })

/** Hashes a password for keeping: `scrypt$SALT$KEY`, both base64url. */
export async function hashPassword(password: string, salt: Buffer = randomBytes(SALT_BYTES)): Promise<string> {
  const key = await derive(password.normalize('NFKC'), salt)
  return [NAME, salt.toString('base64url'), key.toString('base64url')].join('$')
}

// What an unknown name is compared with, so that it takes as long as a known one.
const NOBODY = [
  NAME,
  Buffer.alloc(SALT_BYTES).toString('base64url'),
  Buffer.alloc(KEY_BYTES).toString('base64url'),
].join('$')

/** Tells whether the password is the one that was hashed; takes as long for null, of which no password is one. */
export async function isPassword(password: string, hash: string | null): Promise<boolean> {
  const [name, salt = '', kept = ''] = (hash ?? NOBODY).split('$')
  const key = await derive(password.normalize('NFKC'), Buffer.from(salt, 'base64url'))
  const expected = Buffer.from(kept, 'base64url')
  return name === NAME && hash !== null && expected.length === key.length && timingSafeEqual(key, expected)
}
