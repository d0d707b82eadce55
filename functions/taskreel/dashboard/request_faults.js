/** Failures that their own request explains: its user sees the reason, and no operator can help. Pure. */

/** As the server has them, in `REQUEST_FAULTS` of domain/health.py; a test compares the two. */
const CODES = new Set([
  "bad_duration", "bad_parameters", "bad_payload", "bad_scale", "bad_size", "budget_exceeded", "cut_off_media",
  "dependency_failed", "empty_media", "empty_text", "input_encoded", "input_forbidden", "input_invalid", "input_not_found",
  "input_required", "input_too_large", "input_unreachable", "invalid_parameter", "media_too_large", "missing_media",
  "moderation", "no_audio", "no_images", "no_inputs", "no_scenes", "no_streams", "no_video", "not_a_recording",
  "not_an_image", "payload_too_large", "price_cap_exceeded", "too_wide", "unexpected_media", "unknown_model",
  "unreadable_media", "unsupported_format", "unsupported_media", "unsupported_parameter", "voice_unknown", "webhook_gone",
]);

/** Failures of a pipeline that its caller has written; of one of ours they would be our own. */
const OF_A_PIPELINE = new Set(["bad_reference", "bad_fan_out"]);

/** @param {string | undefined} code the code of a job's error @param {string} jobType */
export const isRequestFault = (code, jobType) => CODES.has(code ?? "") || (jobType === "pipeline" && OF_A_PIPELINE.has(code ?? ""));
