// The worker: a Service that answers the messages of its scope.

import { Service } from './service.js';

export function serve(scope) {
  const service = new Service((message, transfer = []) => scope.postMessage(message, transfer));
  scope.onmessage = ({ data }) => service.receive(data);
  scope.postMessage({ kind: 'ready' });
}
