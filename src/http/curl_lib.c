/* SPDX-License-Identifier: Apache-2.0 */
#include "http/curl_lib.h"

#include "http/module.h"

static const struct module_symbol symbols[] = {
#define X(f) {#f, offsetof(struct curl_lib, f)},
	CURL_FUNCTIONS(X)
#undef X
};

static struct curl_lib table;
static struct module module = {
	.file = "libcurl.so.4",
	.package = "libcurl4",
	.symbols = symbols,
	.count = ARRAY_LEN(symbols),
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

static pthread_once_t initialised = PTHREAD_ONCE_INIT;

static void initialise(void)
{
	(void)table.curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct err *curl_lib_get(const struct curl_lib **out)
{
	TRY(module_load(&module, &table));
	pthread_once(&initialised, initialise);
	*out = &table;
	return NULL;
}
