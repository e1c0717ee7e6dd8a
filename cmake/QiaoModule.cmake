# qiao_module(<folder> [DEPS module…] [LIBS target…] [PARTS sub-folder…])
#
# One folder = one noun = one target. Makes the library `qiao_<folder>` of the current folder's
# sources, found by suffix so that none can be forgotten:
#   *.cpp            the library
#   *_test.cpp       <folder>_test    ctest label `unit`, no server needed
#   *_itest.cpp      <folder>_itest   ctest label `integration`, wants QIAO_PG_<n>_URL
#   *_fuzz.cpp       one target each  smoke-run over its corpus in every preset; libFuzzer in `asan`
#   *_main.cpp       skipped: programs are declared by hand
# DEPS are checked against cmake/layers.cmake; tools/tidy.py re-checks every #include.

function(qiao_module FOLDER)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS;PARTS" ${ARGN})
  string(REPLACE "/" "_" NAME ${FOLDER})
  qiao_check_layers(${FOLDER} ${ARG_DEPS})

  set(PATTERNS *.cpp internal/*.cpp)
  foreach(PART ${ARG_PARTS})
    list(APPEND PATTERNS ${PART}/*.cpp)
  endforeach()
  file(GLOB ALL CONFIGURE_DEPENDS ${PATTERNS})
  set(SOURCES ${ALL})
  list(FILTER SOURCES EXCLUDE REGEX "_(test|itest|fuzz|bench|main)\\.cpp$")
  set(DEPS ${ARG_DEPS})
  list(TRANSFORM DEPS REPLACE "/" "_")
  list(TRANSFORM DEPS PREPEND "qiao_")

  if(SOURCES)
    add_library(qiao_${NAME} STATIC ${SOURCES})
    set(SCOPE PUBLIC)
  else()
    add_library(qiao_${NAME} INTERFACE)
    set(SCOPE INTERFACE)
  endif()
  target_include_directories(qiao_${NAME} ${SCOPE} ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(qiao_${NAME} ${SCOPE} ${DEPS} ${ARG_LIBS})

  if(QIAO_TESTS)
    qiao_tests(${NAME} test unit "${PATTERNS}")
    qiao_tests(${NAME} itest integration "${PATTERNS}")
    qiao_fuzzers(${NAME})
  endif()
endfunction()

# Gathers *_<suffix>.cpp of the current folder into one GoogleTest program with a ctest label.
function(qiao_tests NAME SUFFIX LABEL PATTERNS)
  list(TRANSFORM PATTERNS REPLACE "\\.cpp$" "_${SUFFIX}.cpp")
  file(GLOB FILES CONFIGURE_DEPENDS ${PATTERNS})
  if(NOT FILES)
    return()
  endif()
  add_executable(${NAME}_${SUFFIX} ${FILES})
  target_link_libraries(${NAME}_${SUFFIX} PRIVATE qiao_${NAME} GTest::gmock_main GTest::gtest)
  target_link_libraries(${NAME}_${SUFFIX} PRIVATE qiao_testing)
  add_test(NAME ${NAME}_${SUFFIX} COMMAND ${NAME}_${SUFFIX})
  set_tests_properties(${NAME}_${SUFFIX} PROPERTIES LABELS ${LABEL} TIMEOUT 600)
  set_property(GLOBAL APPEND PROPERTY QIAO_TEST_TARGETS ${NAME}_${SUFFIX})
endfunction()

# One program for each *_fuzz.cpp. Outside the asan preset a plain main runs it over its corpus and
# over mutations of it from a fixed seed, so that it stays compiled and shown everywhere.
function(qiao_fuzzers NAME)
  file(GLOB FILES CONFIGURE_DEPENDS *_fuzz.cpp)
  foreach(FILE ${FILES})
    get_filename_component(FUZZ ${FILE} NAME_WE)
    set(TARGET ${NAME}_${FUZZ})
    set(CORPUS ${CMAKE_SOURCE_DIR}/fuzz/corpus/${TARGET})
    add_executable(${TARGET} ${FILE})
    target_link_libraries(${TARGET} PRIVATE qiao_${NAME})
    if(QIAO_FUZZ)
      target_link_options(${TARGET} PRIVATE -fsanitize=fuzzer)
      add_test(
        NAME ${TARGET} COMMAND ${TARGET} -max_total_time=10 -rss_limit_mb=2048
                               ${CMAKE_BINARY_DIR}/corpus_${TARGET} ${CORPUS})
      file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/corpus_${TARGET})
    else()
      target_sources(${TARGET} PRIVATE ${CMAKE_SOURCE_DIR}/fuzz/smoke_main.cpp)
      add_test(NAME ${TARGET} COMMAND ${TARGET} ${CORPUS})
    endif()
    set_tests_properties(${TARGET} PROPERTIES LABELS fuzz TIMEOUT 600)
    set_property(GLOBAL APPEND PROPERTY QIAO_FUZZ_TARGETS ${TARGET})
  endforeach()
endfunction()
