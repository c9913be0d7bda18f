// Joins the verbs that need no daemon to the parts that they need.

import { join } from "node:path";
import { exportTo } from "../../checkpoints/export-to.ts";
import { ObserverError } from "../../core/errors.ts";
import { checkpointFromView } from "../checkpoint-text.ts";
import type { CliIo } from "../io.ts";
import type { CliLocal, ExportReport, ExportRequest } from "../local.ts";
import { configInit, configShow, configValidate } from "./config.ts";
import { demo } from "./demo.ts";
import { importFiles } from "./import.ts";
import { replay } from "./replay.ts";
import { serve } from "./serve.ts";

export function createLocal(io: CliIo): CliLocal {
  return {
    serve: (argv) => serve(argv, io),
    replay: (file) => replay(file, io),
    importFile: importFiles,
    demo,
    exportCheckpoint,
    configShow,
    configValidate,
    configInit,
  };
}
