# Compiler, warnings, sanitizers, ccache: everything that is the same for every target.

set(QIAO_SANITIZE "" CACHE STRING "Comma-separated sanitizers, for example address,undefined")

find_program(QIAO_CCACHE ccache)
if(QIAO_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_NOHASHDIR=1 ${QIAO_CCACHE})
endif()

add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual
  -Wimplicit-fallthrough -Wunused-result -Wno-missing-designated-field-initializers -Werror
  -fno-omit-frame-pointer -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
# Line tables are enough for a backtrace and cost a third of the size of full debug data.
string(REPLACE "-g" "-gline-tables-only" CMAKE_CXX_FLAGS_RELWITHDEBINFO
               "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")
# Assertions are on in every build (style: programmer errors end the process).
string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")

if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_link_options(-fuse-ld=lld)
endif()
if(QIAO_SANITIZE)
  add_compile_options(-fsanitize=${QIAO_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QIAO_SANITIZE})
endif()
if(QIAO_PLANTS)
  # Never for a program that anybody runs. The coverage tells what the simulator has run.
  add_compile_definitions(QIAO_PLANTS)
  add_compile_options(-fprofile-instr-generate -fcoverage-mapping)
  add_link_options(-fprofile-instr-generate)
endif()
if(QIAO_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
