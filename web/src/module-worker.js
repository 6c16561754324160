// The worker's script where the sources are not bundled.

import { serve } from './worker.js';

serve(self);
