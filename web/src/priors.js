// The priors that there are; made by web/priors.py.

export const PRIORS = {
  1: { hash: 'a5872b08', bytes: 49222 },
  2: { hash: '210693f5', bytes: 21508 },
};
