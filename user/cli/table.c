/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The commands and options of the program, and the parser that serves them all.
 *
 * Options may stand before or after the operand, as --name VALUE or
 * --name=VALUE; `--` ends them. A usage error prints one line and exits with 2.
 */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/suggest.h"
#include "daemon/daemon.h"

static const struct {
	const char *name, *letter, *value, *text;
} options[THR_OPTIONS] = {
	[THR_OPT_CONFIG] = {"--config", "-c", "FILE", "the configuration"},
	[THR_OPT_DEV] = {"--dev", NULL, "IF", "the interface"},
	[THR_OPT_MODE] = {"--mode", NULL, "MODE",
			  "auto (default: native, else generic), native, generic or offload"},
	[THR_OPT_JSON] = {"--json", NULL, NULL, "print JSON"},
	[THR_OPT_CONNECTIONS] = {"--connections", NULL, "RATE",
				 "new connections of a source, as 20/s, 300/m or 10k/s"},
	[THR_OPT_BURST] = {"--burst", NULL, "N",
			   "how many of them at once (default: one second's worth)"},
	[THR_OPT_PACKETS] = {"--packets", NULL, "RATE", "packets of a source"},
	[THR_OPT_PACKET_BURST] = {"--packet-burst", NULL, "N", "how many of them at once"},
	[THR_OPT_BYTES] = {"--bytes", NULL, "RATE", "bytes of a source's frames, as 10M/s"},
	[THR_OPT_BYTE_BURST] = {"--byte-burst", NULL, "N", "how many of them at once"},
	[THR_OPT_SHARED] = {"--shared", NULL, NULL,
			    "one limit for the whole prefix, not for each source in it"},
	[THR_OPT_FOR] = {"--for", NULL, "TIME", "for how long, 1s to 24h (default: 10m)"},
};

#define LIMITS                                                                                     \
	(THR_OPT(CONNECTIONS) | THR_OPT(BURST) | THR_OPT(PACKETS) | THR_OPT(PACKET_BURST) |        \
	 THR_OPT(BYTES) | THR_OPT(BYTE_BURST) | THR_OPT(SHARED))
#define LIST (THR_OPT(DEV) | THR_OPT(JSON))

static const struct thr_command commands[] = {
	{"run", NULL, "serve until SIGTERM, by FILE or " THR_DAEMON_FILE, THR_OPT(CONFIG), 0,
	 thr_cmd_run},
	{"check", NULL, "validate a configuration", THR_OPT(CONFIG), THR_OPT(CONFIG),
	 thr_cmd_check},
	{"attach", NULL, "put the throttle on an interface",
	 THR_OPT(DEV) | THR_OPT(CONFIG) | THR_OPT(MODE), THR_OPT(DEV), thr_cmd_attach},
	{"detach", NULL, "take the throttle off an interface", THR_OPT(DEV), THR_OPT(DEV),
	 thr_cmd_detach},
	{"apply", NULL, "replace the live tables by the file's, atomically",
	 THR_OPT(CONFIG) | THR_OPT(DEV), THR_OPT(CONFIG), thr_cmd_apply},
	{"limit list", NULL, "show the limits of source prefixes", LIST, 0, thr_cmd_limit_list},
	{"limit set", "PREFIX", "limit each source of a prefix, or the prefix as a whole",
	 LIMITS | THR_OPT(DEV), 0, thr_cmd_limit_set},
	{"limit del", "PREFIX", "remove the limit of a prefix", THR_OPT(DEV), 0, thr_cmd_limit_del},
	{"allow list", NULL, "show the prefixes that pass uncharged", LIST, 0, thr_cmd_allow_list},
	{"allow add", "PREFIX", "let the sources of a prefix pass uncharged", THR_OPT(DEV), 0,
	 thr_cmd_allow_add},
	{"allow del", "PREFIX", "remove an allow prefix", THR_OPT(DEV), 0, thr_cmd_allow_del},
	{"deny list", NULL, "show the prefixes that are refused", LIST, 0, thr_cmd_deny_list},
	{"deny add", "PREFIX", "refuse new connections and datagrams from a prefix", THR_OPT(DEV),
	 0, thr_cmd_deny_add},
	{"deny del", "PREFIX", "remove a deny prefix", THR_OPT(DEV), 0, thr_cmd_deny_del},
	{"block list", NULL, "show the sources that are refused for a while", LIST, 0,
	 thr_cmd_block_list},
	{"block add", "ADDRESS", "refuse a source for a while", THR_OPT(FOR) | THR_OPT(DEV), 0,
	 thr_cmd_block_add},
	{"block del", "ADDRESS", "let a source in again", THR_OPT(DEV), 0, thr_cmd_block_del},
	{"status", NULL, "show interfaces, mode and counters by reason", LIST, 0, thr_cmd_status},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* Print one line about `which`, with `meant` where it is near something known,
 * and where to read on: in the help of `command`, or in all of it. */
static int usage_error(const char *what, const char *which, const char *meant, const char *command)
{
	char line[256];

	snprintf(line, sizeof(line), "%s%s%s%s%s%s see 'xdp-throttle %s%s--help'", what,
		 which ? " " : "", which ? which : "", meant ? ": did you mean " : "",
		 meant ? meant : "", meant ? "?" : ":", command ? command : "", command ? " " : "");
	thr_clean_line(line);
	fprintf(stderr, "xdp-throttle: %s\n", line);
	return THR_EXIT_USAGE;
}

/* --- help --- */

static void print_synopsis(const struct thr_command *command)
{
	printf("xdp-throttle %s", command->name);
	if (command->operand)
		printf(" %s", command->operand);
	for (int option = 0; option < THR_OPTIONS; option++) {
		bool needed = command->required >> option & 1;

		if (!(command->options >> option & 1))
			continue;
		printf(" %s%s", needed ? "" : "[",
		       options[option].letter ? options[option].letter : options[option].name);
		if (options[option].value)
			printf(" %s", options[option].value);
		printf("%s", needed ? "" : "]");
	}
	printf("\n");
}

static int print_command_help(const struct thr_command *command)
{
	printf("Usage: ");
	print_synopsis(command);
	printf("\n%s.\n\n", command->summary);
	for (int option = 0; option < THR_OPTIONS; option++) {
		char left[64];

		if (!(command->options >> option & 1))
			continue;
		snprintf(left, sizeof(left), "%s%s%s %s",
			 options[option].letter ? options[option].letter : "",
			 options[option].letter ? ", " : "", options[option].name,
			 options[option].value ? options[option].value : "");
		printf("  %-20s %s\n", left, options[option].text);
	}
	printf("  %-20s %s\n", "--help", "print this");
	return THR_EXIT_DONE;
}

static int print_group_help(const char *group)
{
	size_t length = strlen(group);

	for (size_t i = 0; i < COMMANDS; i++)
		if (strncmp(commands[i].name, group, length) == 0)
			print_synopsis(&commands[i]);
	return THR_EXIT_DONE;
}

static int print_help(void)
{
	printf("xdp-throttle %s: limits each source at the network interface and in a reverse "
	       "proxy\n\n"
	       "Usage: xdp-throttle COMMAND [OPTIONS]\n\n",
	       THR_VERSION);
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-12s %s\n", commands[i].name, commands[i].summary);
	printf("\n  xdp-throttle COMMAND --help   the options of one command\n"
	       "  xdp-throttle --version\n\n"
	       "Rates are written 20/s, 300/m or 10/h, counts 40, 10k or 1M. --dev is needed by\n"
	       "attach and detach, and where several throttles run.\n"
	       "Exit status: 0 done, 1 refused or failed, 2 usage. Manuals: xdp-throttle(8),\n"
	       "xdp-throttle.yaml(5), xdp-throttle-api(7).\n");
	return THR_EXIT_DONE;
}

/* --- parsing --- */

/* How many of the words at argv the command's name takes up; 0: it is another. */
static int match_command(const struct thr_command *command, int argc, char **argv)
{
	const char *second = strchr(command->name, ' ');
	size_t first = second ? (size_t)(second - command->name) : strlen(command->name);

	if (strlen(argv[0]) != first || strncmp(argv[0], command->name, first) != 0)
		return 0;
	if (!second)
		return 1;
	return argc > 1 && strcmp(argv[1], second + 1) == 0 ? 2 : 0;
}

static bool is_group(const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; i < COMMANDS; i++)
		if (strncmp(commands[i].name, word, length) == 0 && commands[i].name[length] == ' ')
			return true;
	return false;
}

/* The option that `word` names, with *ret_value the part after '=' or NULL. */
static int match_option(const char *word, const char **ret_value)
{
	const char *equals = strchr(word, '=');
	size_t length = equals ? (size_t)(equals - word) : strlen(word);

	*ret_value = NULL;
	for (int option = 0; option < THR_OPTIONS; option++) {
		if (options[option].letter && strcmp(word, options[option].letter) == 0)
			return option;
		if (strlen(options[option].name) == length &&
		    strncmp(word, options[option].name, length) == 0) {
			*ret_value = equals ? equals + 1 : NULL;
			return option;
		}
	}
	return -1;
}

static const char *nearest_option(const struct thr_command *command, const char *word)
{
	char name[64];
	struct thr_suggestion suggestion = {.wanted = name};

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	for (int option = 0; option < THR_OPTIONS; option++)
		if (command->options >> option & 1)
			thr_suggestion_offer(&suggestion, options[option].name);
	return suggestion.nearest;
}

static const char *nearest_command(const char *word)
{
	struct thr_suggestion suggestion = {.wanted = word};

	for (size_t i = 0; i < COMMANDS; i++)
		if (!strchr(commands[i].name, ' '))
			thr_suggestion_offer(&suggestion, commands[i].name);
	thr_suggestion_offer(&suggestion, "limit");
	thr_suggestion_offer(&suggestion, "allow");
	thr_suggestion_offer(&suggestion, "deny");
	thr_suggestion_offer(&suggestion, "block");
	return suggestion.nearest;
}

/* Take the option at argv[0]; returns the words it took up, or 0 after an error
 * was printed. */
static int take_option(const struct thr_command *command, int argc, char **argv,
		       struct thr_arguments *arguments)
{
	const char *value;
	int option = match_option(argv[0], &value);

	if (option < 0 || !(command->options >> option & 1)) {
		usage_error("unknown option", argv[0], nearest_option(command, argv[0]),
			    command->name);
		return 0;
	}
	if (arguments->value[option]) {
		usage_error("given twice:", options[option].name, NULL, command->name);
		return 0;
	}
	if (!options[option].value) {
		if (value) {
			usage_error("takes no value:", options[option].name, NULL, command->name);
			return 0;
		}
		arguments->value[option] = "";
		return 1;
	}
	if (!value && argc < 2) {
		usage_error("needs a value:", options[option].name, NULL, command->name);
		return 0;
	}
	arguments->value[option] = value ? value : argv[1];
	return value ? 1 : 2;
}

/* Say that there is no place for `word`, and for what option it may be meant. */
static int refuse_operand(const struct thr_command *command, const char *word,
			  const struct thr_arguments *arguments)
{
	unsigned int missing = 0;
	char meant[256];

	for (int option = 0; option < THR_OPTIONS; option++)
		if (!arguments->value[option])
			missing |= command->options & 1u << option;
	if (command->operand || !(missing & (THR_OPT(CONFIG) | THR_OPT(DEV))))
		return usage_error("unexpected", word, NULL, command->name);
	snprintf(meant, sizeof(meant), "%s %s",
		 missing & command->required & THR_OPT(DEV) || !(missing & THR_OPT(CONFIG))
			 ? options[THR_OPT_DEV].name
			 : options[THR_OPT_CONFIG].letter,
		 word);
	return usage_error("unexpected", word, meant, command->name);
}

static int check_complete(const struct thr_command *command, const struct thr_arguments *arguments)
{
	for (int option = 0; option < THR_OPTIONS; option++)
		if (command->required >> option & 1 && !arguments->value[option])
			return usage_error("missing", options[option].name, NULL, command->name);
	if (command->operand && !arguments->operand)
		return usage_error("missing", command->operand, NULL, command->name);
	return THR_EXIT_DONE;
}

static int parse(const struct thr_command *command, int argc, char **argv,
		 struct thr_arguments *arguments)
{
	bool options_end = false;

	for (int at = 0; at < argc;) {
		const char *word = argv[at];

		if (!options_end && strcmp(word, "--") == 0) {
			options_end = true;
			at++;
		} else if (!options_end && word[0] == '-' && word[1]) {
			int taken = take_option(command, argc - at, argv + at, arguments);

			if (!taken)
				return THR_EXIT_USAGE;
			at += taken;
		} else if (command->operand && !arguments->operand) {
			arguments->operand = word;
			at++;
		} else {
			return refuse_operand(command, word, arguments);
		}
	}
	return check_complete(command, arguments);
}

static bool asks_for_help(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int run_command(const struct thr_command *command, int argc, char **argv)
{
	struct thr_arguments arguments = {};
	struct thr_error error = {};
	int status;

	if (asks_for_help(argc, argv))
		return print_command_help(command);
	status = parse(command, argc, argv, &arguments);
	if (status)
		return status;
	if (command->run(&arguments, &error)) {
		fprintf(stderr, "xdp-throttle: %s\n", error.text);
		return THR_EXIT_FAILED;
	}
	if (fflush(stdout)) {
		fprintf(stderr, "xdp-throttle: standard output: %s\n", strerror(errno));
		return THR_EXIT_FAILED;
	}
	return THR_EXIT_DONE;
}

int thr_cli_main(int argc, char **argv)
{
	if (argc < 2)
		return usage_error("a command is missing", NULL, NULL, NULL);
	for (size_t i = 0; i < COMMANDS; i++) {
		int words = match_command(&commands[i], argc - 1, argv + 1);

		if (words)
			return run_command(&commands[i], argc - 1 - words, argv + 1 + words);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("xdp-throttle %s\n", THR_VERSION);
		return THR_EXIT_DONE;
	}
	if (strcmp(argv[1], "help") == 0 || (argv[1][0] == '-' && asks_for_help(1, argv + 1)))
		return print_help();
	if (is_group(argv[1]) && argc > 2 && asks_for_help(1, argv + 2))
		return print_group_help(argv[1]);
	if (is_group(argv[1]))
		return usage_error(argc > 2 ? "unknown command" : "incomplete command",
				   argc > 2 ? argv[2] : argv[1], NULL, argv[1]);
	if (strcmp(argv[1], "reload") == 0)
		return usage_error("unknown command",
				   "reload: send SIGHUP to the process of run, or systemctl "
				   "reload xdp-throttle",
				   NULL, NULL);
	return usage_error("unknown command", argv[1], nearest_command(argv[1]), NULL);
}
