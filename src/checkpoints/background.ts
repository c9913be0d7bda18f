// Helpers of low priority: they are ended at once when a checkpoint needs the store, and may be begun again later.

import type { HelperCall, HelperRunner } from "./helper-runner.ts";
import type { OperationName } from "./protocol.ts";

export interface Background {
  /** As the runner's; throws `timeout` when it had to give way. Only for work that may end at any instant. */
  run: HelperRunner["run"];
  /** Ends what runs. */
  giveWay(): void;
}

export function createBackground(runner: HelperRunner): Background {
  const running = new Set<AbortController>();
  return {
    async run<Name extends OperationName>(call: HelperCall<Name>) {
      const controller = new AbortController();
      running.add(controller);
      try {
        return await runner.run({ ...call, signal: controller.signal });
      } finally {
        running.delete(controller);
      }
    },
    giveWay() {
      for (const controller of running) controller.abort();
    },
  };
}
