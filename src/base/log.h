/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics for the operator as key=value lines on the descriptor given to log_open (stderr by default),
 * silent below the chosen level. Not for results or errors: those are returned.
 * Threads: any.
 */
#pragma once

#include "base/compiler.h"

enum log_level { LOG_DEBUG_LEVEL, LOG_INFO_LEVEL, LOG_WARN_LEVEL, LOG_OFF_LEVEL };

void log_open(int fd, enum log_level level);
void log_at(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_debug(...) log_at(LOG_DEBUG_LEVEL, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO_LEVEL, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN_LEVEL, __VA_ARGS__)
