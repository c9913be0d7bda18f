// Helpers of low priority: they are ended at once when a checkpoint needs the store, and may be begun again later.

import { ObserverError } from "../core/errors.ts";
import type { HelperCall, HelperRunner } from "./helper-runner.ts";
import type { OperationName } from "./protocol.ts";

export interface Background {
  /** As the runner's; throws `timeout` when it had to give way. Only for work that may end at any instant. */
  run: HelperRunner["run"];
  /** Ends what runs. */
  giveWay(): void;
  /** Ends what runs and begins nothing more. */
  close(): void;
}

export function createBackground(runner: HelperRunner): Background {
  const running = new Set<AbortController>();
  let closed = false;
  const giveWay = (): void => {
    for (const controller of running) controller.abort();
  };
  return {
    async run<Name extends OperationName>(call: HelperCall<Name>) {
      if (closed) throw new ObserverError("timeout", "Background work is ending");
      const controller = new AbortController();
      running.add(controller);
      try {
        return await runner.run({ ...call, signal: controller.signal });
      } finally {
        running.delete(controller);
      }
    },
    giveWay,
    close() {
      closed = true;
      giveWay();
    },
  };
}
