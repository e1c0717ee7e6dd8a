#include "qiao/drivers/postgres/structure/definitions.h"

#include <array>

namespace qiao::drivers::postgres::structure {
namespace {

constexpr std::string_view kLeftOut = R"(
SELECT format('%s.%s', n.nspname, c.relname), 'owner'
FROM rel r JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
UNION ALL
SELECT format('%s.%s', n.nspname, c.relname), 'grants'
FROM rel r JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relacl IS NOT NULL
   OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL)
UNION ALL
SELECT format('%s on %s', t.tgname, r.old_q), 'trigger'
FROM rel r JOIN pg_trigger t ON t.tgrelid = r.oid
WHERE NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL
SELECT format('%s on %s', w.rulename, r.old_q), 'rule'
FROM rel r JOIN pg_rewrite w ON w.ev_class = r.oid
UNION ALL
SELECT format('%s on %s', p.polname, r.old_q), 'row security'
FROM rel r JOIN pg_policy p ON p.polrelid = r.oid
UNION ALL
SELECT r.old_q, 'row security' FROM rel r JOIN pg_class c ON c.oid = r.oid WHERE c.relrowsecurity
UNION ALL
SELECT format('%s on %s', k.conname, r.old_q), 'foreign key'
FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid NOT IN (SELECT oid FROM rel)
UNION ALL
SELECT format('%s on %s', p.pubname, r.old_q), 'publication'
FROM rel r JOIN pg_publication_rel m ON m.prrelid = r.oid
JOIN pg_publication p ON p.oid = m.prpubid
WHERE p.pubname !~ '^qiao_[0-9a-f]{12}(_ins)?$'
UNION ALL
SELECT format('%s of %s', s.spcname, format('%s.%s', n.nspname, c.relname)), 'tablespace'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_tablespace s ON s.oid = c.reltablespace
WHERE c.oid IN (SELECT oid FROM rel)
   OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM rel))
UNION ALL
SELECT format('%s of %s', m.amname, r.old_q), 'access method'
FROM rel r JOIN pg_class c ON c.oid = r.oid AND c.relkind = 'r' JOIN pg_am m ON m.oid = c.relam
WHERE m.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = m.oid
                                     AND e.classid = 'pg_am'::regclass AND e.deptype = 'e')
UNION ALL
SELECT r.old_q, 'unlogged sequence'
FROM rel r JOIN pg_class c ON c.oid = r.oid AND c.relkind = 'S' AND c.relpersistence = 'u'
UNION ALL
SELECT r.old_q, 'security label'
FROM rel r WHERE EXISTS (SELECT FROM pg_seclabel l
                         WHERE l.classoid = 'pg_class'::regclass AND l.objoid = r.oid)
UNION ALL
SELECT r.old_q || ' of ' || format_type(c.reloftype, NULL), 'typed table'
FROM rel r JOIN pg_class c ON c.oid = r.oid WHERE c.reloftype <> 0
UNION ALL
SELECT r.old_q || ' of ' || i.inhparent::regclass, 'inheritance'
FROM rel r JOIN pg_inherits i ON i.inhrelid = r.oid
JOIN pg_class c ON c.oid = r.oid AND NOT c.relispartition
WHERE r.relkind IN ('r', 'p')
UNION ALL
SELECT r.old_q || ' of ' || i.inhparent::regclass, 'partition'
FROM rel r JOIN pg_inherits i ON i.inhrelid = r.oid
JOIN pg_class c ON c.oid = r.oid AND c.relispartition
WHERE i.inhparent NOT IN (SELECT oid FROM rel)
UNION ALL
SELECT format('%s on %s', c.relname, r.old_q), 'invalid index'
FROM rel r JOIN pg_index x ON x.indrelid = r.oid AND NOT x.indisvalid
JOIN pg_class c ON c.oid = x.indexrelid AND c.relkind = 'i'
UNION ALL
SELECT r.old_q, 'sequence value' FROM rel r
WHERE CASE WHEN r.relkind = 'S' THEN NOT has_sequence_privilege(r.oid, 'SELECT, USAGE') END
)";

constexpr std::array kReasons = {
    Reason{"owner", "the target's user owns what it creates", "由目标端用户创建并拥有"},
    Reason{"grants", "who may use a copy is decided at the target", "副本的授权由目标端决定"},
    Reason{"trigger", "its effect is in the rows already", "其效果已体现在数据中"},
    Reason{"rule", "its effect is in the rows already", "其效果已体现在数据中"},
    Reason{"row security", "it would hide rows from the copy", "行级安全会使副本缺行"},
    Reason{"foreign key", "the table it refers to was not chosen", "未选择其引用的表"},
    Reason{"publication", "it belongs to the source", "属于源端"},
    Reason{"tablespace", "the target has its own disks", "目标端有自己的存储"},
    Reason{"access method", "made with the target's own storage", "使用目标端默认的存储方式"},
    Reason{"unlogged sequence", "made as an ordinary sequence", "按普通序列创建"},
    Reason{"security label", "labels are the target's own", "安全标签由目标端决定"},
    Reason{"typed table", "made as an ordinary table", "按普通表创建"},
    Reason{
        "inheritance",
        "made as a table by itself, with its own rows",
        "作为独立的表创建,只含自身的行"
    },
    Reason{
        "partition",
        "made as a table by itself, because its parent was not chosen",
        "未选择其父表,作为独立的表创建"
    },
    Reason{"invalid index", "it is not valid at the source", "该索引在源端无效"},
    Reason{
        "sequence value",
        "its value may not be read: GRANT SELECT on it",
        "无权读取其当前值:请授予 SELECT"
    },
};

}  // namespace

std::string_view left_out_query() { return kLeftOut; }

std::span<const Reason> reasons() { return kReasons; }

}  // namespace qiao::drivers::postgres::structure
