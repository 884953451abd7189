# Writes a C file with the texts of files as constants.
#
#     cmake -P embed.cmake OUT NAME... FILE...
#
# As many names as files. Numbers, as a literal may not be this long in standard C.
math(EXPR n "(${CMAKE_ARGC} - 4) / 2")
set(text "/* Made by embed.cmake. */\n")
foreach(i RANGE 1 ${n})
  math(EXPR name "3 + ${i}")
  math(EXPR file "3 + ${n} + ${i}")
  file(READ ${CMAKE_ARGV${file}} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  set(name ${CMAKE_ARGV${name}})
  string(APPEND text "extern const char ${name}[];\n"
                     "const char ${name}[] = {\n${bytes}0};\n")
endforeach()
get_filename_component(folder ${CMAKE_ARGV3} DIRECTORY)
file(MAKE_DIRECTORY ${folder})
file(WRITE ${CMAKE_ARGV3} "${text}")
