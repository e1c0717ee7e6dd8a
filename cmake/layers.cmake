# The layer table: qiao_layer(<folder> <level> <allowed deps…>). A module may depend on what its
# line allows and on nothing else; siblings never include each other. tools/tidy.py reads this
# table too. `testing` holds doubles of the seams and is linked by tests only.

set_property(GLOBAL PROPERTY QIAO_LAYERS "")

macro(qiao_layer FOLDER LEVEL)
  set_property(GLOBAL PROPERTY QIAO_ALLOWED_${FOLDER} ${ARGN})
endmacro()

function(qiao_check_layers FOLDER)
  get_property(ALLOWED GLOBAL PROPERTY QIAO_ALLOWED_${FOLDER})
  foreach(DEP ${ARGN})
    if(NOT DEP IN_LIST ALLOWED)
      message(FATAL_ERROR "layers: ${FOLDER} must not depend on ${DEP}; see cmake/layers.cmake")
    endif()
  endforeach()
endfunction()

qiao_layer(common 0)
qiao_layer(testing 0 common)
qiao_layer(crypto 1 common)
qiao_layer(model 1 common)
qiao_layer(packet 2 common crypto model)
qiao_layer(trail 2 common crypto)
qiao_layer(link 2 common crypto)
qiao_layer(drivers 2 common model)
qiao_layer(drivers/postgres 2 common model drivers)
# A double of the database seam, for tests and the simulator only.
qiao_layer(drivers/model 2 common model drivers)
qiao_layer(capture 4 common crypto model packet drivers)
qiao_layer(capture/postgres 4 common crypto model packet drivers drivers/postgres capture)
qiao_layer(apply 4 common crypto model packet drivers)
qiao_layer(verify 4 common crypto model packet drivers)
qiao_layer(engine 5 common crypto model packet trail link drivers capture apply verify)
qiao_layer(agent 6 common crypto model packet trail link drivers drivers/postgres capture
           capture/postgres apply verify engine)
qiao_layer(cli 7 common crypto model packet trail link drivers drivers/postgres capture
           capture/postgres apply verify engine agent)
