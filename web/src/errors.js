// Anything wrong with a file or an argument; the message is one line.
export class SirenError extends Error {
  constructor(message) {
    super(message);
    this.name = 'SirenError';
  }
}
