// Bytes -> Field, as far as they have come.

import { unpackAlpha } from './alpha.js';
import { contextNetwork } from './context.js';
import { SirenError } from './errors.js';
import { Field } from './field.js';
import { isWhole, LIMITS, parse, priorNamed } from './format.js';
import { LatentDecoder } from './latents.js';
import { Prior } from './prior.js';
import { PRIORS } from './priors.js';
import { dequantise, unpackWeights } from './weights.js';

export class Decoder {
  // `fetchPrior` promises the bytes of the prior of an id; `pause` is awaited now and then.
  constructor({ limits, partial, fetchPrior, pause }) {
    this.limits = { ...LIMITS, ...limits };
    this.partial = partial;
    this.fetchPrior = fetchPrior;
    this.pause = pause;
    this.priors = new Map();
    this.field = null;
    this.latents = null;
  }

  // Take in a file from its beginning, as far as it has come; yield the levels and the grids of
  // each further layer, once the Field has them. Throws a SirenError for what is no sound file;
  // before it has `ended`, only for what no more bytes can mend.
  async *take(bytes, ended) {
    await this.loadPrior(bytes);
    const whole = ended && isWhole(bytes);
    const parsed = this.parse(bytes, ended, whole);
    if (!parsed) return;
    if (!this.field) this.begin(parsed);
    this.field.metadata = parsed.metadata;
    for (const { payload, levels } of parsed.layers.slice(this.field.levels.length)) {
      const grids = await this.latents.decode(payload, levels, this.pause);
      this.field.add(levels, grids);
      yield { levels, grids };
    }
    if (!ended) return;
    this.field.whole = whole;
    this.latents = null;
  }

  async loadPrior(bytes) {
    const id = priorNamed(bytes);
    if (id in PRIORS && !this.priors.has(id)) {
      this.priors.set(id, await Prior.read(id, await this.fetchPrior(id)));
    }
  }

  parse(bytes, ended, whole) {
    const options = { limits: this.limits, priorOf: (id) => this.priors.get(id), whole };
    if (ended) return parse(bytes, { ...options, partial: this.partial });
    try {
      return parse(bytes, { ...options, partial: true });
    } catch (error) {
      if (error instanceof SirenError) return null;
      throw error;
    }
  }

  // Make the Field of what comes before the layers.
  begin({ header, weights, alpha }) {
    const { width, height, channels, depth, architecture, prior } = header;
    const expected = prior && this.priors.get(prior.id).expect(architecture.channels, prior.quality);
    const tensors = unpackWeights(weights, architecture.tensorShapes, expected);
    const own = 2 * architecture.layers + 2;
    if (architecture.grids) {
      const network = contextNetwork(tensors.slice(own), architecture);
      this.latents = new LatentDecoder(architecture, width, height, network);
    }
    const { grids, inputs, contextInputs, ...network } = architecture;
    this.field = new Field({
      width, height, channels, depth, network,
      layers: Array.from({ length: own / 2 }, (_, k) => ({
        weight: dequantise(tensors[2 * k]),
        bias: dequantise(tensors[2 * k + 1]),
      })),
      alpha: alpha ? unpackAlpha(alpha, width, height, depth) : null,
    });
    this.tensors = tensors; // all of them as integers, for tests
  }
}
