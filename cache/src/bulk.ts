import type { Stamp } from '@lockstep/schemas'
import type { LoadContext } from './types.ts'

/** Values per call of `loadMany`: a list that one statement of any database takes. */
const MOST = 1_000

interface Question<Args, V> {
  readonly args: Args
  readonly asOf: LoadContext['asOf']
  readonly resolve: (value: V | null) => void
  readonly reject: (error: unknown) => void
}

/** Answers many questions at once; what it reads as of an older moment it says for all of them. */
type Ask<Args, V> = (
  args: readonly Args[],
  context: Pick<LoadContext, 'stamp' | 'asOf'>,
) => Promise<readonly (V | null)[]>

/** Gathers what the loads of one turn ask for into one question. */
export class Bulk<Args, V> {
  readonly #ask: Ask<Args, V>
  #gathered: Question<Args, V>[] = []
  #stamp: Stamp | null = null

  constructor(ask: Ask<Args, V>) {
    this.#ask = ask
  }

  /** Answers one value of a later question, which begins after this call: the caller's stamp, fixed before, is sound. */
  load(args: Args, stamp: Stamp | null, asOf: LoadContext['asOf']): Promise<V | null> {
    return new Promise((resolve, reject) => {
      if (this.#gathered.length === 0) setImmediate(() => this.#send())
      this.#gathered.push({ args, asOf, resolve, reject })
      if (this.#stamp === null || (stamp !== null && stamp < this.#stamp)) this.#stamp = stamp
      if (this.#gathered.length >= MOST) this.#send()
    })
  }

  #send(): void {
    const questions = this.#gathered
    if (questions.length === 0) return
    const stamp = this.#stamp
    this.#gathered = []
    this.#stamp = null
    void this.#answer(questions, stamp)
  }

  async #answer(questions: readonly Question<Args, V>[], stamp: Stamp | null): Promise<void> {
    try {
      const asOf: LoadContext['asOf'] = (of) => questions.forEach((question) => question.asOf(of))
      const all = questions.map(({ args }) => args)
      const values = await this.#ask(all, { stamp, asOf })
      if (values.length !== questions.length) {
        throw new RangeError(`loadMany answered ${values.length} values for ${questions.length} questions`)
      }
      questions.forEach(({ resolve }, index) => resolve(values[index] ?? null))
    } catch (error) {
      for (const { reject } of questions) reject(error)
    }
  }
}
