import { atTurnEnd } from './turn-end.ts'

interface Asked<Question, Answer> {
  readonly question: Question
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/**
 * Joins what one turn of the event loop asks into one question of many: 64 values cost the client about a third of 64
 * `GET`s, and the server less. Each part is answered as of a moment after it was asked.
 */
export class Batch<Question, Answer> {
  readonly #most: number
  readonly #answer: (questions: readonly Question[]) => Promise<readonly Answer[]>
  #gathered: Asked<Question, Answer>[] = []
  readonly #send = (): void => {
    const gathered = this.#gathered
    this.#gathered = []
    void this.#ask(gathered)
  }

  /** `answer` gives one answer per question, in order, to at most `most` at once. */
  constructor(most: number, answer: (questions: readonly Question[]) => Promise<readonly Answer[]>) {
    this.#most = most
    this.#answer = answer
  }

  /** Answers one question; rejects when the whole was not answered. */
  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const gathered = this.#gathered
      if (gathered.length === 0) atTurnEnd(this.#send)
      gathered.push({ question, resolve, reject })
      if (gathered.length >= this.#most) this.#send()
    })
  }

  async #ask(gathered: readonly Asked<Question, Answer>[]): Promise<void> {
    if (gathered.length === 0) return
    try {
      const answers = await this.#answer(gathered.map(({ question }) => question))
      for (let index = 0; index < gathered.length; index++) gathered[index]?.resolve(answers[index] as Answer)
    } catch (error) {
      for (const { reject } of gathered) reject(error)
    }
  }
}
