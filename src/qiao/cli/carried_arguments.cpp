#include "qiao/cli/carried_arguments.h"

namespace qiao::cli {

void CarriedArguments::add_to(CLI::App& command, const Console& console) {
    const auto say = [&console](Text text) { return std::string(console.pick(text)); };
    auto* out = command.add_option(
        "--export",
        export_to,
        say(
            {"write the first load into this new folder, sealed, to be carried to the target",
             "将首次装载加密写入此新目录,以便携带到目标端"}
        )
    );
    auto* in = command.add_option(
        "--import",
        import_from,
        say({"load the folder of an export into the target", "将导出目录装载到目标端"})
    );
    in->excludes(out);
    command.add_option(
        "--config",
        config,
        say({"export, import: an agent's configuration", "导出、导入:代理配置文件"})
    );
    command.add_option(
        "--flow",
        flow,
        say({"export, import: the flow of it that will follow", "导出、导入:配置中随后跟随的流"})
    );
    command.add_option(
        "--recipient",
        recipient,
        say(
            {"export: public wrapping key of who imports (qiao key wrap)",
             "导出:导入方的封装公钥(qiao key wrap)"}
        )
    );
    command.add_option(
        "--wrapping-key", wrapping_key, say({"import: the private wrapping key", "导入:封装私钥"})
    );
    command.add_option(
        "--digest",
        digest,
        say(
            {"import: the digest that the export printed, told by another way than the disk",
             "导入:导出时打印的摘要,应由介质以外的途径告知"}
        )
    );
}

namespace {

bool chooses(const SyncWords& words) { return !words.columns.empty() || !words.where.empty(); }

}  // namespace

std::string CarriedArguments::usage_error(const SyncWords& words) const {
    const bool urls = !words.from.empty() || !words.to.empty();
    const bool agent = !config.empty() || !flow.empty();
    if (!chosen()) {
        const bool lone = agent || !recipient.empty() || !wrapping_key.empty() || !digest.empty();
        if (lone) {
            return "--config, --flow, --recipient, --wrapping-key and --digest belong to --export "
                   "or --import";
        }
        return words.from.empty() || words.to.empty() ? "--from and --to are required" : "";
    }
    if (words.moves) {
        return "--export and --import go without --follow, --once, --drop and --mode timestamp";
    }
    if (urls == agent || (urls && (words.from.empty() || words.to.empty())) ||
        (agent && (config.empty() || flow.empty()))) {
        return "name the stream by --from and --to, or by --config and --flow";
    }
    if (agent && (!words.tables.empty() || chooses(words) || !words.state.empty() ||
                  words.suite_given || !recipient.empty() || !wrapping_key.empty())) {
        return "with --flow the configuration says tables, suite, keys and state folder";
    }
    if (!export_to.empty()) {
        if (words.create || !digest.empty() || !wrapping_key.empty()) {
            return "--create, --digest and --wrapping-key belong to --import";
        }
        return !agent && (words.tables.empty() || recipient.empty())
                   ? "--table and --recipient are required"
                   : "";
    }
    if (!words.tables.empty() || chooses(words) || !recipient.empty() || words.suite_given) {
        return "--table, --columns, --where, --suite and --recipient belong to --export: the load "
               "knows its own";
    }
    return !agent && wrapping_key.empty() ? "--wrapping-key is required" : "";
}

}  // namespace qiao::cli
